"""Cages: what a unit may use at most, held by the kernel, and a way to end all of it at once.

A control group where one can be made (see `ground`), else the limits of
setrlimit(2) as far as they mean what was asked for. Nothing here raises: a unit
without its limit is better than no unit, and `Cage.enforced` tells the truth.

Only a unit that asks for a limit gets a cage. The write to `cgroup.procs` takes
a lock of the whole machine: 7 to 15 ms for one that comes alone (0.05 ms only
right after another), during which the keeper does nothing else. What a cage adds
to the end of a unit, a kill that no fork can outrun, is not worth that for
every launch: marks and descendants find the rest.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from atoll_supervisor.keeper.ground import (
    CONTROLLERS,
    Ground,
    Home,
    cage_name,
    find_ground,
    read,
    remove_tree,
)

_PERIOD = 100_000
"""Microseconds in which the processor time of a unit is counted, the kernel's default."""
_LEAST_QUOTA = 1_000
"""The smallest the kernel takes."""

NOT_ENFORCED = "not enforced"


class _Knobs(NamedTuple):
    """Files of a control group with their texts: the limit itself, and what makes it tighter."""

    limit: tuple[str, str]
    more: tuple[tuple[str, str], ...] = ()


class Cage:
    """The limits of one process of a unit and of all that it starts.

    `enforced` says for each limit what holds it: "cgroup v2", "cgroup v1",
    "rlimit" (each process for itself), or "not enforced: <why>".
    """

    def __init__(self) -> None:
        self.enforced: dict[str, str] = {}
        self._folders: dict[Path, list[str]] = {}
        self._killable: Path | None = None
        self._memory: Home | None = None
        self._data: int | None = None

    def add(self, pid: int) -> None:
        """Put a process that has just been started into the cage; what it starts is in it too."""
        for folder, limits in self._folders.items():
            try:
                (folder / "cgroup.procs").write_text(str(pid))
            except OSError as error:
                self._fail(limits, error)
        if self._data is not None:
            try:
                resource.prlimit(pid, resource.RLIMIT_DATA, (self._data, self._data))
            except (OSError, ValueError) as error:
                self._fail(["memory"], error)

    def kill(self) -> bool:
        """SIGKILL everything in the cage at one blow (`cgroup.kill`); False when it cannot."""
        if self._killable is None:
            return False
        try:
            (self._killable / "cgroup.kill").write_text("1")
        except OSError:
            return False
        return True

    def was_oom(self) -> bool:
        """Whether the kernel ended a process of this cage because its memory was used up.

        It need not have been the unit's own: ask only about a unit that ended by SIGKILL.
        """
        if self._memory is None:
            return False
        name = "memory.events" if self._memory.version == 2 else "memory.oom_control"
        lines = (line.split() for line in read(self._memory.path / name).splitlines())
        return any(line[0] == "oom_kill" and int(line[1]) > 0 for line in lines if len(line) == 2)

    def remove(self) -> bool:
        """Remove the groups; False while a process is still in one: call it again later."""
        for folder in list(self._folders):
            if remove_tree(folder):
                del self._folders[folder]
        return not self._folders

    def confine(self, name: str, limits: dict[str, float], ground: Ground) -> None:
        """Make the groups and write the limits; processes come with `add`."""
        self._killable = self._group(ground.tree, name)
        for limit, amount in limits.items():
            self.enforced[limit] = self._impose(name, limit, amount, ground)

    def _impose(self, name: str, limit: str, amount: float, ground: Ground) -> str:
        if limit not in CONTROLLERS:
            return f"{NOT_ENFORCED}: nothing known by that name"
        home = ground.homes.get(limit)
        folder = self._group(home, name)
        if home is None or folder is None:
            return self._instead(limit, amount, ground.why)
        knobs = _knobs(limit, home.version, amount)
        try:
            (folder / knobs.limit[0]).write_text(knobs.limit[1])
        except OSError as error:
            return self._instead(limit, amount, error.strerror or str(error))
        for file, text in knobs.more:
            with suppress(OSError):  # without swap accounting there is no such file
                (folder / file).write_text(text)
        self._folders[folder].append(limit)
        if limit == "memory":
            self._memory = Home(folder, home.version)
        return f"cgroup v{home.version}"

    def _group(self, home: Home | None, name: str) -> Path | None:
        """Make the cage's group below `home` unless it is there; None when it cannot be made."""
        if home is None:
            return None
        folder = home.path / name
        if folder not in self._folders:
            try:
                folder.mkdir()
            except OSError:
                return None
            self._folders[folder] = []
        return folder

    def _instead(self, limit: str, amount: float, why: str) -> str:
        """Without a control group: memory as RLIMIT_DATA, and nothing for the others.

        RLIMIT_DATA counts private writable memory. RLIMIT_AS would count maps of
        models and reserved addresses too, which are no memory in use. RLIMIT_NPROC
        counts all processes of a user, the whole fleet, and none of root's.
        """
        if limit != "memory":
            return f"{NOT_ENFORCED}: {why}"
        self._data = int(amount)
        return "rlimit"

    def _fail(self, limits: list[str], error: Exception) -> None:
        self.enforced |= dict.fromkeys(limits, f"{NOT_ENFORCED}: {error}")


def make_cage(unit: str, generation: int, limits: dict[str, float]) -> Cage:
    """Prepare a cage for a process that is about to start.

    `limits` are `memory` in bytes, `pids` in processes (the kernel counts their
    threads), `cpu` in cores. With none of them the cage is empty and costs nothing.
    """
    cage = Cage()
    if limits:
        keeper = os.getpid()
        cage.confine(cage_name(keeper, unit, generation), limits, find_ground(keeper))
    return cage


def _knobs(limit: str, version: int, amount: float) -> _Knobs:
    """The files of a limit (cgroup-v1/memory.rst, cgroup-v2.rst of the kernel's documentation)."""
    number = str(int(amount))
    quota = str(max(_LEAST_QUOTA, round(amount * _PERIOD)))
    match (limit, version):
        case ("memory", 1):
            with_swap = ("memory.memsw.limit_in_bytes", number)
            return _Knobs(("memory.limit_in_bytes", number), (with_swap,))
        case ("memory", _):
            return _Knobs(("memory.max", number), (("memory.swap.max", "0"),))
        case ("pids", _):
            return _Knobs(("pids.max", number))
        case (_, 1):
            return _Knobs(("cpu.cfs_quota_us", quota), (("cpu.cfs_period_us", str(_PERIOD)),))
        case _:
            return _Knobs(("cpu.max", f"{quota} {_PERIOD}"))
