"""Reading logs that are being written: the last lines, and what comes after them.

Files are read backwards in blocks and forwards in pieces, and never more than
MOST bytes for one question, however many files they are spread over; rotation
(`name.log` becomes `name.log.1`) and truncation are followed.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from itertools import chain, count, dropwhile
from pathlib import Path
from typing import NamedTuple

from atoll_supervisor.keeper.logfile import rotated

BLOCK = 65_536
MOST = 8_388_608
"""Bytes that are read at most for the last lines, of all files of a log together."""

POLL = 0.2


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a rotated log, oldest first; fewer when MOST bytes hold no more.

    Bytes that are not UTF-8 come as U+FFFD. A missing file has no lines. Takes
    a while for many lines: call it off the loop.
    """
    return _last(path, lines, None)


async def follow(
    path: Path,
    lines: int = 0,
    leaving: asyncio.Event | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[list[str]]:
    """The last `lines` lines, then every new one, in the pieces they are read in.

    Ends after the newest line once `leaving` is set or nobody writes any more. Survives rotation,
    truncation, and a file that does not exist yet.
    """
    leaving = leaving or asyncio.Event()
    reader = _Reader(path)
    try:
        # The thread opens files of its own: it may outlive this reader.
        yield await asyncio.to_thread(_last, path, lines, reader.place)
        while True:
            last = leaving.is_set() or is_over()
            if found := reader.step():
                yield [_text(line) for line in found]
                await asyncio.sleep(0)
            elif last:
                return
            else:
                await _pause(leaving)
    finally:
        reader.close()


async def _pause(leaving: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(POLL):
            await leaving.wait()


class _Place(NamedTuple):
    """A byte offset in the file of this inode; the inode is -1 where there was no file."""

    inode: int
    offset: int


class _Reader:
    """Follows one log forwards from the end of its last whole line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _open(path)
        self._offset = _end_of_lines(self._fd)
        self._rest = b""

    @property
    def place(self) -> _Place:
        """Where this reader is."""
        return _Place(_inode(self._fd), self._offset)

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


def _last(path: Path, lines: int, before: _Place | None) -> list[str]:
    """The last lines before a place (of all when None), from as many files as needed."""
    found: list[bytes] = []
    left = MOST
    seen = set[int]()  # rotated meanwhile, a file is met again
    for file in _not_after(path, before):
        if len(found) >= lines or left <= 0:
            break
        fd = _open(file)
        if _inode(fd) not in seen:
            older, read = _last_lines(fd, _end(fd, before), lines - len(found), left)
            found, left = older + found, left - read
        seen.add(_inode(fd))
        _close(fd)
    return [_text(line) for line in found]


def _not_after(path: Path, place: _Place | None) -> Iterator[Path]:
    """The log's files, youngest first, from the one of the place on."""
    files = chain((path,), _older(path))
    if place is None:
        return files
    if place.inode < 0:  # there was no live file, so one that is there now is younger
        return _older(path)
    return dropwhile(lambda file: _inode_at(file) != place.inode, files)


def _end(fd: int, before: _Place | None) -> int:
    return before.offset if before and before.inode == _inode(fd) else _size(fd)


def _last_lines(fd: int, end: int, lines: int, most: int) -> tuple[list[bytes], int]:
    """Read backwards until there are enough line ends, or `most` bytes; also how many were read."""
    blocks: list[bytes] = []
    start, ends = end, 0
    while start > 0 and ends <= lines and end - start < most:
        size = min(BLOCK, start)
        start -= size
        blocks.append(_read(fd, size, start))
        ends += blocks[-1].count(b"\n")
    found = b"".join(reversed(blocks)).removesuffix(b"\n").split(b"\n")
    whole = found if start == 0 and end > 0 else found[1:]
    return whole[-lines:] if lines > 0 else [], end - start


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


def _inode_at(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1


def _read(fd: int, size: int, offset: int) -> bytes:
    return os.pread(fd, size, offset) if fd >= 0 else b""


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
