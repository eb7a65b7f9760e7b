"""Finding agents: which folders hold a manifest, which of them may be trusted and are sound.

Plain functions that read files: call `discover` off the loop. With a `Memory`
a folder whose files are the same is not read again: two system calls each.
"""

import grp
import os
import pwd
import stat
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from atoll.config.check import MANIFESTS
from atoll.config.load import Loaded, load_manifest, problem_at
from atoll.config.names import slug_of
from atoll.errors import ConfigError, Problem
from atoll_supervisor.shell.remember import Memory, mark_of


class Broken(Struct, frozen=True):
    """A folder that should be an agent and cannot be one; `path` is its manifest, or the folder."""

    path: Path
    problems: tuple[Problem, ...]


class Discovery(Struct, frozen=True):
    """What one scan found, each in the order of the folders' names."""

    found: tuple[Loaded, ...]
    broken: tuple[Broken, ...]


Examined = Loaded | Broken
Known = Memory[Examined]


def discover(agents_dir: Path, environ: Mapping[str, str], known: Known | None = None) -> Discovery:
    """Scan the direct sub-folders of `agents_dir`; raises ConfigError when it cannot be read.

    Hidden folders, and folders without a manifest, are no agents. A fault in
    one folder never hides another one. `environ` must be the same for one `known`.
    """
    found: list[Loaded] = []
    broken: list[Broken] = []
    known = Memory() if known is None else known
    folders = _folders(agents_dir)
    known.retain(folders)
    users = _users()
    for folder in folders:
        match _recalled(agents_dir, folder, users, environ, known):
            case Loaded() as loaded:
                found.append(loaded)
            case Broken() as fault:
                broken.append(fault)
            case None:
                pass
    unique, doubles = _by_slug(found)
    return Discovery(unique, (*broken, *doubles))


def trust_problem(path: Path) -> Problem | None:
    """Who else could change this file or folder and so run code as us (attacks.md S15).

    As sshd's StrictModes: the owner must be root or we, and nobody else may
    write. A group that has no other member than the owner is no one else
    (Debian and Fedora create files group-writable for it).
    """
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        message = f"belongs to another user (uid {status.st_uid}), who could change it at any time"
        return Problem(
            file=str(path), message=message, hint=f"chown -R {os.geteuid()} {path.parent}"
        )
    others = status.st_mode & stat.S_IWOTH
    group = status.st_mode & stat.S_IWGRP and not _private_group(status)
    if not others and not group:
        return None
    who = "everybody" if others else "its group"
    message = f"can be changed by {who} (mode {stat.S_IMODE(status.st_mode):04o})"
    return Problem(file=str(path), message=message, hint=f"chmod go-w {path}")


def _folders(agents_dir: Path) -> list[str]:
    """Their paths as text: making and comparing thousands of Paths takes longer than all else."""
    try:
        names = sorted(os.listdir(agents_dir))  # noqa: PTH208
    except OSError as error:
        message = f"cannot read the folder of agents: {error.strerror}"
        hint = "make it, or name another one with --agents-dir"
        raise ConfigError(Problem(file=str(agents_dir), message=message, hint=hint)) from error
    if problem := trust_problem(agents_dir):
        raise ConfigError(problem)
    return [os.path.join(agents_dir, name) for name in names if not name.startswith(".")]  # noqa: PTH118


def _recalled(
    agents_dir: Path, folder: str, users: Hashable, environ: Mapping[str, str], known: Known
) -> Examined | None:
    marks = _marks(folder, users)
    if marks and (same := known.recall(folder, marks)) is not None:
        return same
    made = _examine(agents_dir, Path(folder), environ)
    return known.keep(folder, marks, made) if marks and made is not None else made


def _marks(folder: str, users: Hashable) -> tuple[Hashable, ...]:
    """What an examination depends on; () for links and legacy manifests, which are more files.

    Of the folder only what it is: its times change with every file that an
    agent writes into it.
    """
    place, manifest = mark_of(folder), mark_of(f"{folder}/{MANIFESTS[0]}")
    if place is None or manifest is None:
        return ()
    if not (stat.S_ISDIR(place.mode) and stat.S_ISREG(manifest.mode)):
        return ()
    return (place.device, place.inode, place.mode, place.owner, place.group, users), manifest


def _users() -> Hashable:
    """Changes when a group may have a new member (`_private_group`)."""
    return tuple(
        mark and (mark.inode, mark.ctime_ns) for mark in map(mark_of, ("/etc/passwd", "/etc/group"))
    )


def _examine(agents_dir: Path, folder: Path, environ: Mapping[str, str]) -> Examined | None:
    path = folder
    try:
        if not folder.is_dir() and not folder.is_symlink():
            return None
        _stay_inside(agents_dir, folder)
        manifest = next((m for m in _candidates(folder) if os.path.lexists(m)), None)
        if manifest is None:
            return None
        path = manifest
        _stay_inside(agents_dir, manifest)
        if problems := tuple(p for place in (folder, manifest) if (p := trust_problem(place))):
            return Broken(path, problems)
        return load_manifest(manifest, environ)
    except ConfigError as error:
        return Broken(path, tuple(error.problems))
    except (OSError, RuntimeError) as error:  # RuntimeError: a symlink loop, before Python 3.13
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Broken(path, (Problem(file=str(path), message=f"cannot be read: {reason}"),))


def _candidates(folder: Path) -> Iterable[Path]:
    return (folder / name for name in MANIFESTS)


def _stay_inside(agents_dir: Path, path: Path) -> None:
    """Refuse what a symlink takes from outside; raises ConfigError, OSError, RuntimeError."""
    target = path.resolve(strict=True)
    if not target.is_relative_to(agents_dir.resolve()):
        message = f"is a symlink that leads outside {agents_dir}: {target}"
        hint = "copy it into the folder, or move the fleet's folder there with --agents-dir"
        raise ConfigError(Problem(file=str(path), message=message, hint=hint))


def _by_slug(found: list[Loaded]) -> tuple[tuple[Loaded, ...], tuple[Broken, ...]]:
    first: dict[str, Loaded] = {}
    doubles: list[Broken] = []
    for loaded in found:
        name = loaded.manifest.agent.name
        taken = first.setdefault(slug_of(name), loaded)
        if taken is not loaded:
            message = f"the name {name!r} has the same key ({slug_of(name)}) as {taken.path}"
            hint = "give one of the two another agent.name"
            problem = problem_at(loaded.path, ("agent", "name"), message, hint)
            doubles.append(Broken(loaded.path, (problem,)))
    return tuple(first.values()), tuple(doubles)


def _private_group(status: os.stat_result) -> bool:
    """Whether the file's group is its owner's own, with no other member."""
    try:
        owner = pwd.getpwuid(status.st_uid)
        group = grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    own = owner.pw_gid == status.st_gid and group.gr_name == owner.pw_name
    return own and set(group.gr_mem) <= {owner.pw_name}
