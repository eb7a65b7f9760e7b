"""Which processes a fleet has, found without believing its daemon.

By the mark that all processes of a keeper's family carry, by the environment that
units made by exec hand on, and by the command line that every agent has.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from atoll_supervisor.keeper.mark import family_of, mark_of
from atoll_supervisor.keeper.proc import all_pids, stat_of
from tests.fakes.daemon import Daemon


class Size(NamedTuple):
    """What a process holds: open descriptors, and bytes of resident memory."""

    descriptors: int
    rss: int


def size_of(pid: int) -> Size:
    process = psutil.Process(pid)
    return Size(process.num_fds(), process.memory_info().rss)


def waited(stat: str) -> float:
    """Seconds that a thread was ready and had no processor, from its schedstat file."""
    try:
        return int(Path(stat).read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def family(daemon: Daemon) -> set[int]:
    """Every process of the fleet but daemon and keeper: template, agents, what these started."""
    lock = daemon.keeper_socket.with_name("keeper.sock.lock")
    number = int(lock.read_text())
    return {
        pid for pid in all_pids() if family_of(mark_of(pid)) == number or _inherits(daemon, pid)
    }


def units(daemon: Daemon) -> dict[int, str]:
    """The living processes that are an agent, with the path of its manifest.

    Only what leads a session: a helper that an agent forked has its command line too. That
    of a forked agent is one string, with blanks in it.
    """
    found = {}
    for pid in family(daemon):
        stat, command = stat_of(pid), " ".join(_fields(pid, "cmdline"))
        if stat and stat.state not in "ZX" and stat.session == pid and " --agent " in command:
            found[pid] = command.partition(" --agent ")[2].partition(" --")[0]
    return found


def leftovers(daemon: Daemon) -> list[str]:
    """Every process of the fleet that nobody answers for, and every zombie that it has not buried.

    A zombie whose parent is none of ours is another one's to bury: of init, or of a service
    manager that took it over when our keeper was killed.
    """
    assert daemon.process is not None
    agents, keeper = set(daemon.units().values()), daemon.keeper
    owned = {daemon.process.pid, keeper, *agents}
    found = family(daemon) | children(daemon.process.pid) | children(keeper)
    found = {pid for pid in found if not (_is_template(pid) and _parent(pid) == keeper)}
    left = [pid for pid in found - owned if _is_over(pid) or not _is_below(pid, agents)]
    left = [pid for pid in left if not _is_over(pid) or _parent(pid) in found | owned]
    return [_told(pid) for pid in sorted({*left, *filter(_is_over, agents)}) if stat_of(pid)]


def children(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children()}
    except psutil.NoSuchProcess:
        return set()


def _inherits(daemon: Daemon, pid: int) -> bool:
    environ = _fields(pid, "environ")
    mine = f"ATOLL_STATE_DIR={daemon.state}" in environ
    return mine and any(one.startswith("ATOLL_UNIT=") for one in environ)


def _is_template(pid: int) -> bool:
    return _fields(pid, "cmdline")[-2:] == ["-m", "atoll.template"]


def _is_over(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is not None and stat.state in "ZX"


def _is_below(pid: int, roots: Collection[int]) -> bool:
    while pid > 1 and pid not in roots:
        pid = _parent(pid)
    return pid in roots


def _parent(pid: int) -> int:
    stat = stat_of(pid)
    return stat.parent if stat else 0


def _fields(pid: int, name: str) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace").rstrip("\0").split("\0")
    return []


def _told(pid: int) -> str:
    return f"{pid} {stat_of(pid)} {' '.join(_fields(pid, 'cmdline'))}"
