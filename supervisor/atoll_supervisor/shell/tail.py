"""Reading logs that are being written: the last lines, and what comes after them.

Files are read backwards in blocks and forwards in pieces, never as a whole;
rotation (`name.log` becomes `name.log.1`) and truncation are followed.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from atoll_supervisor.shell.logfile import rotated

BLOCK = 65_536
MOST = 8_388_608
"""Bytes of one file that `tail` reads at most, whatever the number of lines asked for."""

POLL = 0.2


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a rotated log, oldest first; fewer when there are no more.

    Bytes that are not UTF-8 come as U+FFFD. A missing file has no lines.
    """
    live = _open(path)
    found = _tail(path, live, _size(live), lines)
    _close(live)
    return [_text(line) for line in found]


async def follow(path: Path, lines: int = 0) -> AsyncIterator[str]:
    """The last `lines` lines, then every new one, until the consumer stops.

    Survives rotation, truncation, and a file that does not exist yet.
    """
    reader = _Reader(path)
    try:
        for line in reader.before(lines):
            yield _text(line)
        while True:
            found = reader.step()
            for line in found:
                yield _text(line)
            await asyncio.sleep(0 if found else POLL)
    finally:
        reader.close()


class _Reader:
    """Follows one log forwards from the end of its last whole line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _open(path)
        self._offset = _end_of_lines(self._fd)
        self._rest = b""

    def before(self, lines: int) -> list[bytes]:
        """The last lines before the place where this reader starts."""
        return _tail(self._path, self._fd, self._offset, lines)

    def step(self) -> list[bytes]:
        """The whole lines of the next piece; none at the end, for now, of the log."""
        data = _read(self._fd, BLOCK, self._offset)
        while not data and self._turn():
            data = _read(self._fd, BLOCK, self._offset)
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > 2 * BLOCK:
            whole, self._rest = [*whole, self._rest], b""
        return whole

    def close(self) -> None:
        """Give up the file."""
        self._switch(-1)

    def _turn(self) -> bool:
        """At the end of a file: go to the next one, or back if it shrank; False if none."""
        if self._fd >= 0 and _size(self._fd) < self._offset:
            self._offset, self._rest = 0, b""
            return True
        successor = _successor(self._path, _inode(self._fd))
        fd = -1 if successor is None else _open(successor)
        if fd >= 0:
            self._switch(fd)
        return fd >= 0

    def _switch(self, fd: int) -> None:
        _close(self._fd)
        self._fd, self._offset, self._rest = fd, 0, b""


def _tail(path: Path, live: int, end: int, lines: int) -> list[bytes]:
    """The last lines before `end` of the open live file, and of the older ones as needed."""
    found = _last_lines(live, end, lines)
    seen = {_inode(live)}  # rotated meanwhile, the live file would be met again
    for file in _older(path):
        if len(found) >= lines:
            break
        fd = _open(file)
        if _inode(fd) not in seen:
            found = _last_lines(fd, _size(fd), lines - len(found)) + found
        seen.add(_inode(fd))
        _close(fd)
    return found


def _last_lines(fd: int, end: int, lines: int) -> list[bytes]:
    """Read backwards until there are enough line ends, or MOST bytes."""
    blocks: list[bytes] = []
    start, ends = end, 0
    while start > 0 and ends <= lines and end - start < MOST:
        size = min(BLOCK, start)
        start -= size
        blocks.append(_read(fd, size, start))
        ends += blocks[-1].count(b"\n")
    found = b"".join(reversed(blocks)).removesuffix(b"\n").split(b"\n")
    whole = found if start == 0 and end > 0 else found[1:]
    return whole[-lines:] if lines > 0 else []


def _end_of_lines(fd: int) -> int:
    """The offset after the last line end, looked for in the last two blocks."""
    size = _size(fd)
    start = max(0, size - 2 * BLOCK)
    return start + _read(fd, size - start, start).rfind(b"\n") + 1


def _successor(path: Path, inode: int) -> Path | None:
    """The file after the one with this inode; None while that is the live one.

    A file that rotation has removed is followed by the oldest that is left.
    """
    newer: Path | None = None
    for file in (path, *_older(path)):
        with suppress(OSError):
            if file.stat().st_ino == inode:
                return newer
            newer = file
    return newer


def _older(path: Path) -> Iterator[Path]:
    """The rotated files, youngest first."""
    for number in count(1):
        file = rotated(path, number)
        if not file.exists():
            return
        yield file


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _size(fd: int) -> int:
    return os.fstat(fd).st_size if fd >= 0 else 0


def _inode(fd: int) -> int:
    return os.fstat(fd).st_ino if fd >= 0 else -1


def _read(fd: int, size: int, offset: int) -> bytes:
    return os.pread(fd, size, offset) if fd >= 0 else b""


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
