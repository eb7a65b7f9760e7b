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

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from atoll_supervisor.shell.lines import LineCutter, Valve, readable
from atoll_supervisor.shell.logfile import DEFAULT, Limits, LogFile, stamped

READ = 65_536
REMEMBERED = 20
MAX_REMEMBERED_LINE = 500


class Pump:
    """Standard output and error of one unit, over all its processes, into one file.

    Needs a running loop when it is attached. `dropped` counts lines that came
    too fast, `file.dropped` those that the disk refused.
    """

    def __init__(self, path: Path, limits: Limits = DEFAULT) -> None:
        self.file = LogFile(path, limits)
        self.dropped = 0
        self._limits = limits
        self._valve = Valve(limits.rate, limits.burst)
        self._streams: dict[int, _Stream] = {}
        self._errors: deque[str] = deque(maxlen=REMEMBERED)
        self._unreported = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def last_errors(self) -> tuple[str, ...]:
        """The last lines of standard error of the youngest process."""
        return tuple(self._errors)

    def attach(self, out: int, err: int) -> None:
        """Own the reading ends of a new process's pipes and read them until they end."""
        self._errors.clear()
        loop = asyncio.get_running_loop()
        for name, fd in (("out", out), ("err", err)):
            os.set_blocking(fd, False)
            self._streams[fd] = _Stream(name, LineCutter(), loop)
            loop.add_reader(fd, self._readable, fd)

    def drain(self, most: int = 16) -> None:
        """Take what is in the pipes now, at most `most` reads each: the last words of the dead."""
        for fd in list(self._streams):
            for _ in range(most):
                if not self._readable(fd):
                    break

    def close(self) -> None:
        """Give up the pipes and the file."""
        for fd in list(self._streams):
            self._end(fd)
        self._report()
        self.file.close()

    def _readable(self, fd: int) -> bool:
        """One bounded read; False when there is nothing more now."""
        try:
            data = os.read(fd, READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._take(self._streams[fd], data)
        else:
            self._end(fd)
        return bool(data)

    def _take(self, stream: "_Stream", data: bytes) -> None:
        if self._valve.admits(len(data), time.monotonic()):
            self._keep(stream, stream.cutter.feed(data))
            return
        stream.cutter.skip(data)
        lost = data.count(b"\n") or 1
        self.dropped += lost
        self._unreported += lost
        if self._timer is None:
            self._timer = stream.loop.call_later(1.0, self._report)

    def _keep(self, stream: "_Stream", lines: list[bytes]) -> None:
        clean = [readable(line) for line in lines]
        if stream.name == "err":
            tail = clean[-REMEMBERED:]
            self._errors.extend(
                line[:MAX_REMEMBERED_LINE].decode(errors="replace") for line in tail
            )
        if clean:
            self.file.write([stamped(stream.name, line) for line in clean])

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

    def _end(self, fd: int) -> None:
        stream = self._streams.pop(fd)
        stream.loop.remove_reader(fd)
        os.close(fd)
        self._keep(stream, stream.cutter.finish())


class _Stream(NamedTuple):
    """One pipe of one process."""

    name: str
    cutter: LineCutter
    loop: asyncio.AbstractEventLoop
