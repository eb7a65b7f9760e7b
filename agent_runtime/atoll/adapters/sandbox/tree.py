"""The processes of one sandbox, seen from outside: who they are and what they hold."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

_PAGE = os.sysconf("SC_PAGE_SIZE")
_INODE = 1024
"""Bytes that the kernel holds for a file in memory, however empty."""
_SWEEPS = 10


def can_be_seen() -> bool:
    """Whether this kernel tells who a process's children are (CONFIG_PROC_CHILDREN)."""
    return os.path.exists("/proc/thread-self/children")  # noqa: PTH110  no pathlib in here


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, parents first; one that ends meanwhile is left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = list(_children(waiting.pop()))
        found += children
        waiting += children
    return found


def kill_others(pid: int, spared: int) -> bool:
    """End all below `pid` but its first child and the spared; False when they come too fast."""
    killed = {spared}
    for _ in range(_SWEEPS):
        below = descendants(pid)[1:]
        others = [child for child in below if child not in killed and _resident(child)]
        if not others:
            return True
        for other in others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
        killed.update(others)  # what is killed cannot fork any more, however long it takes to end
    return False


def held(pid: int, worker: int, most: int) -> int:
    """Bytes of memory of all processes below `pid` and of the files they wrote.

    Pages that several share count in full until that would be over `most`, and
    by their shares then: the exact count takes ten times as long.
    """
    pids = descendants(pid)
    files = _in_files(worker)
    resident = sum(map(_resident, pids))
    if resident + files <= most:
        return resident + files
    return sum(map(_proportional, pids)) + files


def _children(pid: int) -> Iterator[int]:
    tasks = f"/proc/{pid}/task"
    with suppress(OSError):
        for task in os.listdir(tasks):  # noqa: PTH208  after each step: pathlib takes twice as long
            yield from map(int, _read(f"{tasks}/{task}/children").split())


def _resident(pid: int) -> int:
    """Bytes in memory; 0 for a zombie too."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    except PermissionError:
        return _resident(pid)
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))


def _in_files(worker: int) -> int:
    """What the two writable places of a sandbox hold, looked at from its worker's root."""
    total = 0
    for place in ("tmp", "output"):
        with suppress(OSError):
            disk = os.statvfs(f"/proc/{worker}/root/{place}")
            total += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            total += (disk.f_files - disk.f_ffree) * _INODE
    return total


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()
