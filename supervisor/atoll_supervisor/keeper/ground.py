"""Where this machine lets a keeper make control groups, found by reading (cgroups(7)).

Three cases, side by side on one machine as the case may be:

- *v2 with controllers*: a subtree that is ours to divide. Under systemd that is
  what `Delegate=` gives, which marks it with the attribute `user.delegate`
  (systemd's CGROUP_DELEGATION); elsewhere one that we may write to.
- *v1*: a hierarchy per controller, where cages are made below our own place.
- *v2 without controllers*: groups can be made and killed as a whole (`cgroup.kill`),
  nothing can be limited.

A v2 group that hands controllers down may hold no process of its own. So the
keeper and its children move into a leaf first; but only when nobody else is in
the group. systemd before 254 starts a crashed daemon again in that very group,
which would then refuse it: a daemon matters more than a limit.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

CONTROLLERS = ("memory", "pids", "cpu")
PREFIX = "atoll"
_LEAF = "atoll-keeper"
_SYSTEMD = Path("/run/systemd/system")
_ROUNDS = 8
"""How often the group is emptied while its processes fork, before we give up."""


class Home(NamedTuple):
    """A directory below which cages are made, and the version of its hierarchy."""

    path: Path
    version: int


class Ground(NamedTuple):
    """What cages can be made of: where groups can be killed, and a home for each controller.

    `why` says why a controller that is not among `homes` is not.
    """

    tree: Home | None
    homes: dict[str, Home]
    why: str


class _Mount(NamedTuple):
    root: str
    point: str
    kind: str
    options: frozenset[str]


@lru_cache(maxsize=1)
def find_ground(keeper: int) -> Ground:
    """What the keeper with this pid (ours) can use; found once, left-overs removed on the way."""
    places = own_places()
    second = places.get("")
    if not _delegated(second or places.get("name=systemd")):
        return Ground(None, {}, "the control group is systemd's, which needs Delegate=yes")
    homes = {name: Home(places[name], 1) for name in CONTROLLERS if _usable(places.get(name))}
    ground = Ground(None, homes, "no control group that we may divide")
    if second and _usable(second):
        tree, granted, why = _second(second)
        ground = Ground(tree, homes | dict.fromkeys(granted, tree), why)
    for path in {home.path for home in (*ground.homes.values(), ground.tree) if home}:
        _sweep(path, keeper)
    return ground


def own_places() -> dict[str, Path]:
    """Where our own control group is: by controller for v1, under "" for v2."""
    own = _own_groups()
    return {name: place for mount in _mounts() for name, place in _places(mount, own)}


def cage_name(keeper: int, unit: str, generation: int) -> str:
    """A directory name that no other keeper gives, not even one in another container."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in unit)
    return f"{PREFIX}.{_namespace()}.{keeper}.{safe[:64]}.{generation}"


def read(path: Path) -> str:
    """The text of a small file of the kernel's, "" where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def remove_tree(path: Path) -> bool:
    """Remove a group and those below it; True when it is gone, False while processes are in it."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            Path(folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _own_groups() -> dict[str, str]:
    """Our path in each hierarchy: by controller for v1, under "" for v2 (cgroups(7))."""
    found: dict[str, str] = {}
    for line in read(Path("/proc/self/cgroup")).splitlines():
        _, names, path = line.split(":", 2)
        found |= dict.fromkeys(names.split(","), path)
    return found


def _mounts() -> Iterator[_Mount]:
    """The mounted hierarchies (/proc/self/mountinfo, proc(5)); the last of one place counts."""
    for line in read(Path("/proc/self/mountinfo")).splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, _, options) = left.split(), right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            yield _Mount(fields[3], fields[4], kind, frozenset(options.split(",")))


def _places(mount: _Mount, own: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """Where in this mount our own group is, for each controller of it."""
    names = [""] if mount.kind == "cgroup2" else [name for name in own if name in mount.options]
    root = mount.root.rstrip("/")
    for name in names:
        path = own.get(name)
        if path is not None and f"{path}/".startswith(f"{root}/"):
            yield name, Path(mount.point + path[len(root) :])


def _delegated(path: Path | None) -> bool:
    """Whether nobody else manages this group: systemd does unless it says otherwise."""
    return not _SYSTEMD.is_dir() or (path is not None and (_marked(path) or _marked(path.parent)))


def _marked(path: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        try:
            return os.getxattr(path, name) == b"1"
        except OSError:
            continue
    return False


def _usable(path: Path | None) -> bool:
    """Whether we may make groups here and move processes into them."""
    return path is not None and all(
        os.access(name, os.W_OK, effective_ids=True) for name in (path, path / "cgroup.procs")
    )


def _second(own: Path) -> tuple[Home, tuple[str, ...], str]:
    """Where v2 cages can be made, the controllers they will have, and why no more."""
    present = read(own / "cgroup.controllers").split()
    wanted = [name for name in CONTROLLERS if name in present]
    if not wanted:
        return Home(own, 2), (), "the machine's cgroup v2 has no controllers"
    base = _empty_parent(own) or own
    if base == own and not _emptied(own):
        why = "the daemon shares the keeper's control group, see systemd/README.md"
        return Home(own, 2), (), why
    granted = tuple(name for name in wanted if _handed_down(base, name))
    return Home(base, 2), granted, "the control group may not hand its controllers down"


def _empty_parent(own: Path) -> Path | None:
    """The group above ours when it is delegated and holds nobody, as with `DelegateSubgroup=`."""
    free = _marked(own.parent) and _usable(own.parent) and not _inside(own.parent)
    return own.parent if free else None


def _emptied(own: Path) -> bool:
    """Move us and our children into a leaf; False, and nothing moved, if others are there too."""
    if not (own / "cgroup.type").exists():  # the root, which may hold processes
        return True
    for _ in range(_ROUNDS):
        inside = _inside(own)
        if not inside:
            return True
        if not all(map(_is_ours, inside)):
            return False
        _move(inside, own / _LEAF)
    return False


def _inside(group: Path) -> list[int]:
    return [int(pid) for pid in read(group / "cgroup.procs").split()]


def _move(pids: list[int], leaf: Path) -> None:
    with suppress(OSError):
        leaf.mkdir(exist_ok=True)
    for pid in pids:
        with suppress(OSError):  # it has just ended
            (leaf / "cgroup.procs").write_text(str(pid))


def _is_ours(pid: int) -> bool:
    """Whether it is the keeper or below it; a process that is gone is nobody else's."""
    while pid not in (0, 1, os.getpid()):
        stat = read(Path(f"/proc/{pid}/stat"))
        if not stat:
            return True
        pid = int(stat[stat.rindex(")") + 2 :].split()[1])
    return pid == os.getpid()


def _handed_down(base: Path, controller: str) -> bool:
    try:
        (base / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError:
        return False
    return True


def _sweep(home: Path, keeper: int) -> None:
    """Remove the cages of keepers that are dead, and what may be left in them."""
    for cage in home.glob(f"{PREFIX}.{_namespace()}.*.*.*"):
        pid = cage.name.split(".")[2]
        if pid == str(keeper) or not Path(f"/proc/{pid}").exists():
            with suppress(OSError):  # version 1 has no such file
                (cage / "cgroup.kill").write_text("1")
            remove_tree(cage)


def _namespace() -> str:
    """The number of our pid namespace: a pid means something only within one."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"
