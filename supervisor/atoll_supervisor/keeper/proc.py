"""What /proc says about processes (proc(5)); a process that is gone is no error."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

INSTANCE = "ATOLL_INSTANCE"
"""The variable that names the launch a process belongs to."""


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that say where a process belongs (proc(5))."""

    state: str
    parent: int
    session: int
    start_time: int


def stat_of(pid: int) -> Stat | None:
    """Read /proc/PID/stat, or None when there is no such process."""
    data = _read(Path(f"/proc/{pid}/stat"))
    if not data:
        return None
    fields = data[data.rindex(b")") + 2 :].split()
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def children_of(pid: int) -> set[int]:
    """The direct children of a process, zombies included."""
    try:
        lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return set()
    if lists and not lists[0].exists():
        return _children_by_scan(pid)
    return {int(child) for file in lists for child in _read(file).split()}


def has_variable(pid: int, name: str, value: str) -> bool:
    """Whether its environment at exec held `name=value`."""
    environ = _read(Path(f"/proc/{pid}/environ"))
    return f"{name}={value}".encode() in environ.split(b"\0")


def _children_by_scan(parent: int) -> set[int]:
    """For kernels without CONFIG_PROC_CHILDREN."""
    return {pid for pid in all_pids() if (stat := stat_of(pid)) and stat.parent == parent}


def all_pids() -> Iterator[int]:
    """Every process that we may see."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _read(path: Path) -> bytes:
    """A file of /proc, or nothing when its process is gone or not ours to read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
