"""What was made of files, kept for as long as they are the same."""

import os
import time
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

Made = TypeVar("Made")

YOUNG = 2_000_000_000
"""Nanoseconds after a change in which another one may leave no trace: clocks of file
systems tick, some only every second or two."""


class Mark(NamedTuple):
    """By what a file is known to be the same; a change of mode or owner moves ctime."""

    device: int
    inode: int
    mode: int
    owner: int
    group: int
    size: int
    mtime_ns: int
    ctime_ns: int


def mark_of(path: str, *, follow: bool = False) -> Mark | None:
    """The mark of what is there; None when nothing is, or nothing we may know of."""
    try:
        status = os.stat(path, follow_symlinks=follow)  # noqa: PTH116  thousands of times per look
    except (OSError, ValueError):
        return None
    return Mark(
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


class Memory(Generic[Made]):
    """Values by key, each with the marks it was made under."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[Hashable, ...], Made]] = {}

    def recall(self, key: Hashable, marks: tuple[Hashable, ...]) -> Made | None:
        """What was kept under these very marks."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] == marks else None

    def keep(self, key: Hashable, marks: tuple[Hashable, ...], made: Made) -> Made:
        """Keep it, unless one of the files changed a moment ago and may do so unseen."""
        if any(isinstance(mark, Mark) and _is_young(mark) for mark in marks):
            self._kept.pop(key, None)
        else:
            self._kept[key] = (marks, made)
        return made

    def retain(self, keys: Iterable[Hashable]) -> None:
        """Drop whatever has none of these keys."""
        wanted = set(keys)
        for key in self._kept.keys() - wanted:
            del self._kept[key]


def _is_young(mark: Mark) -> bool:
    return time.time_ns() - max(mark.mtime_ns, mark.ctime_ns) < YOUNG
