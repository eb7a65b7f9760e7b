"""What /proc tells about processes, and how everything this run started is ended.

The benchmark makes itself a child subreaper (prctl(2)), so whatever a supervisor
or an agent leaves behind is below it in the process tree, and nothing else is.
"""

import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
MIB = 1 << 20


class Stat(NamedTuple):
    """Fields of /proc/PID/stat (proc(5)); `started` in clock ticks since boot."""

    state: str
    parent: int
    started: int
    ticks: int


class Identity(NamedTuple):
    """A process that a re-used pid cannot be mistaken for."""

    pid: int
    started: int


def become_subreaper() -> None:
    """Let orphans of what we start become our children; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "prctl(PR_SET_CHILD_SUBREAPER)")


def stat_of(pid: int) -> Stat | None:
    """The process's /proc/PID/stat, None when there is no such process."""
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = data[data.rindex(b")") + 2 :].split()
    return Stat(
        fields[0].decode(), int(fields[1]), int(fields[19]), int(fields[11]) + int(fields[12])
    )


def identity(pid: int) -> Identity | None:
    """Who has this pid now."""
    stat = stat_of(pid)
    return Identity(pid, stat.started) if stat else None


def is_alive(who: Identity) -> bool:
    """Whether that very process still runs; a zombie does not."""
    stat = stat_of(who.pid)
    return stat is not None and stat.started == who.started and stat.state not in "ZX"


def alive(all_of: Iterable[Identity]) -> list[Identity]:
    """Those that still run."""
    return [who for who in all_of if is_alive(who)]


def table() -> dict[int, Stat]:
    """Every process of the machine."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return {pid: stat for pid in pids if (stat := stat_of(pid)) is not None}


def descendants(root: int) -> set[int]:
    """Every process below `root`, zombies included."""
    children: dict[int, list[int]] = {}
    for pid, stat in table().items():
        children.setdefault(stat.parent, []).append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found.update(below)
        todo += below
    return found


def words(pid: int) -> list[str]:
    """The command line of a process, [] when it is gone."""
    return _read(pid, "cmdline").decode(errors="replace").split("\0")


def variables(pid: int) -> dict[str, str]:
    """The environment that a process had at its exec, {} when it is gone."""
    lines = _read(pid, "environ").decode(errors="replace").split("\0")
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name}


def pss(pids: Iterable[int]) -> float:
    """Proportional memory of the processes in MiB: a page shared by n counts 1/n."""
    return sum(map(_pss, pids)) / MIB


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that the processes have used, all their threads, to the nanosecond."""
    return sum(map(_cpu, pids))


def open_files(pid: int) -> int:
    """How many descriptors a process holds; 0 when it is gone."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  counts, makes no paths
    return 0


def kill(who: Identity, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal exactly this process, never another one of the same pid; whether it was there."""
    try:
        fd = os.pidfd_open(who.pid)
    except OSError:
        return False
    try:
        if not is_alive(who):
            return False
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def end_below(root: int, but: Collection[int] = (), limit: float = 20.0) -> int:
    """SIGKILL everything below `root` and bury it; how many processes had to be killed."""
    killed: set[Identity] = set()
    until = time.monotonic() + limit
    while (left := _living(root, but)) and time.monotonic() < until:
        killed.update(who for who in left if kill(who))
        _bury()
        time.sleep(0.02)
    _bury()
    return len(killed)


def _living(root: int, but: Collection[int]) -> list[Identity]:
    found = (identity(pid) for pid in descendants(root) - set(but))
    return alive(who for who in found if who is not None)


def _bury() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _pss(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu(pid: int) -> float:
    return sum(_nanoseconds(task) for task in _tasks(pid)) / 1e9


def _tasks(pid: int) -> Iterator[Path]:
    with suppress(OSError):
        yield from Path(f"/proc/{pid}/task").iterdir()


def _nanoseconds(task: Path) -> int:
    with suppress(OSError):
        return int((task / "schedstat").read_bytes().split()[0])
    return 0


def _read(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""
