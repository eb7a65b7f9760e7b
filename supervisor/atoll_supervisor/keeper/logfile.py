"""A rotated log file that never raises: what cannot be written is dropped and counted."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

RETRY = 1.0
"""Seconds between two tries to write to a disk that refused."""


class Limits(NamedTuple):
    """Sizes in bytes; `rate` is per second, `burst` what may come at once."""

    file_size: int = 10_000_000
    files: int = 5
    rate: int = 2_097_152
    burst: int = 8_388_608


DEFAULT = Limits()


class LogFile:
    """`name.log` is live; `name.log.1` is the youngest of the older ones."""

    def __init__(self, path: Path, limits: Limits = DEFAULT) -> None:
        self.path = path
        self.dropped = 0
        self._limits = limits
        self._fd = -1
        self._size = 0
        self._torn = False
        self._landed = 0
        self._unreported = 0
        self._retry_at = 0.0
        self._why = ""

    def write(self, lines: Sequence[bytes]) -> None:
        """Append whole lines, given without their ends."""
        if self._unreported and time.monotonic() < self._retry_at:
            self._drop(len(lines))
            return
        report = self._report()
        data = report + b"".join(line + b"\n" for line in lines)
        self._landed = 0
        try:
            self._append(data)
        except OSError as error:
            self._refused(error, len(lines) - self._count_landed(report, data))
        else:
            self._unreported = 0

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _append(self, data: bytes) -> None:
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(data) > self._limits.file_size:
            self._rotate()
        start = b"\n" if self._torn else b""
        data = start + data
        written = os.write(self._fd, data)
        self._size += written
        self._landed = written - len(start)
        self._torn = not data[:written].endswith(b"\n")
        if written < len(data):
            os.write(self._fd, data[written:])  # tells why: a short write is a full disk
            self._torn = False

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._limits.files - 1, 0, -1):
            source = rotated(self.path, number)
            if source.exists():
                source.replace(rotated(self.path, number + 1))
        self.path.replace(rotated(self.path, 1))
        self._torn = False
        self._open()

    def _report(self) -> bytes:
        if not self._unreported:
            return b""
        text = f"[atoll] {self._unreported} lines dropped: {self._why}"
        return stamped("err", text.encode()) + b"\n"

    def _count_landed(self, report: bytes, data: bytes) -> int:
        """How many lines are in the file although the rest of them was refused."""
        whole = data[: max(0, self._landed)].count(b"\n")
        if report and whole:
            self._unreported = 0
            whole -= 1
        return whole

    def _refused(self, error: OSError, lines: int) -> None:
        self.close()
        self._why = f"cannot write {self.path.name}: {error.strerror}"
        self._retry_at = time.monotonic() + RETRY
        self._drop(lines)

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._unreported += lines


def rotated(path: Path, number: int) -> Path:
    """`name.log.2` for 2, the live file for 0."""
    return path.with_name(f"{path.name}.{number}") if number else path


def stamped(stream: str, line: bytes) -> bytes:
    """A line as it stands in the file: when, which stream, what."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f"{now}Z {stream} ".encode() + line
