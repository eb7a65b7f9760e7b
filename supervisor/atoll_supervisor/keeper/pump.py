"""What units print: pumped into rotated files, never in the way of the unit.

    2026-11-21T04:00:00.123Z out a line of standard output
    2026-11-21T04:00:00.456Z err a line of standard error
    2026-11-21T04:00:01.000Z err [atoll] 1200 lines dropped: ...

The child must never wait for us, and we must never work without bound for it:
one read of 64 KiB per wake-up; a line is cut at 64 KiB; what comes faster than
`Limits.rate` is read, counted and dropped; a full disk drops and counts too.
Nothing stays in memory but one unfinished line per stream and the last lines
of standard error. (faults.md rows 20, 24, 25, 26.)
"""

import os
import time
from collections import deque
from pathlib import Path

from atoll_supervisor.keeper.eventloop import Loop, Timer
from atoll_supervisor.keeper.lines import LineCutter, Valve, readable
from atoll_supervisor.keeper.logfile import DEFAULT, Limits, LogFile, stamped

READ = 65_536
REMEMBERED = 20
MAX_REMEMBERED_LINE = 500
_MOST = 16
"""Reads of what is left in the pipe of a dead process; the kernel's pipe holds one."""


class Pump:
    """Standard output and error of one unit, over all its processes, into one file.

    `dropped` counts lines that came too fast, `file.dropped` those that the
    disk refused.
    """

    def __init__(self, loop: Loop, path: Path, limits: Limits = DEFAULT) -> None:
        self.file = LogFile(path, limits)
        self.dropped = 0
        self._loop = loop
        self._limits = limits
        self._valve = Valve(limits.rate, limits.burst)
        self._unreported = 0
        self._timer: Timer | None = None

    def attach(self, out: int, err: int) -> "Output":
        """Own the reading ends of a new process's pipes and read them until they end."""
        return Output(self, self._loop, out, err)

    def admits(self, data: bytes) -> bool:
        """Whether this much more may be kept now; if not it is counted."""
        if self._valve.admits(len(data), time.monotonic()):
            return True
        lost = data.count(b"\n") or 1
        self.dropped += lost
        self._unreported += lost
        if self._timer is None:
            self._timer = self._loop.call_later(1.0, self._report)
        return False

    def close(self) -> None:
        """Give up the file."""
        self._report()
        self.file.close()

    def _report(self) -> None:
        """Say how much was dropped; at most once a second while it goes on."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if lost := self._unreported:
            self._unreported = 0
            rate = self._limits.rate // 1024
            text = f"[atoll] {lost} lines dropped: output faster than {rate} KiB/s"
            self.file.write([stamped("err", text.encode())])


class Output:
    """The two pipes of one process."""

    def __init__(self, pump: Pump, loop: Loop, out: int, err: int) -> None:
        self._errors: deque[str] = deque(maxlen=REMEMBERED)
        self._streams = [
            _Stream(pump, loop, out, "out", None),
            _Stream(pump, loop, err, "err", self._errors),
        ]

    @property
    def last_errors(self) -> tuple[str, ...]:
        """The last lines of standard error."""
        return tuple(self._errors)

    def finish(self) -> None:
        """The process is dead: take its last words, and close."""
        for stream in self._streams:
            stream.finish()


class _Stream:
    """One pipe; `errors` remembers its last lines."""

    def __init__(
        self, pump: Pump, loop: Loop, fd: int, name: str, errors: deque[str] | None
    ) -> None:
        self._pump = pump
        self._loop = loop
        self._fd = fd
        self._name = name
        self._errors = errors
        self._cutter = LineCutter()
        os.set_blocking(fd, False)
        loop.watch(fd, self._read)

    def finish(self) -> None:
        for _ in range(_MOST):
            if self._fd < 0 or not self._read():
                break
        self._end()

    def _read(self) -> bool:
        """One bounded read; False when there is nothing more now."""
        try:
            data = os.read(self._fd, READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
        elif self._pump.admits(data):
            self._keep(self._cutter.feed(data))
        else:
            self._cutter.skip(data)
        return bool(data)

    def _keep(self, lines: list[bytes]) -> None:
        clean = [readable(line) for line in lines]
        if self._errors is not None:
            tail = clean[-REMEMBERED:]
            self._errors.extend(
                line[:MAX_REMEMBERED_LINE].decode(errors="replace") for line in tail
            )
        if clean:
            self._pump.file.write([stamped(self._name, line) for line in clean])

    def _end(self) -> None:
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._keep(self._cutter.finish())
