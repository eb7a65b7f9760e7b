"""The keeper's own log: few lines, never many, whatever happens."""

import time
from pathlib import Path

from atoll_supervisor.keeper.lines import Valve
from atoll_supervisor.keeper.logfile import Limits, LogFile, stamped

_LIMITS = Limits(file_size=1_000_000, files=2, rate=2_000, burst=20_000)
_MAX_LINE = 1_000


class Journal:
    """Writes sentences; what comes too fast is counted instead."""

    def __init__(self, path: Path) -> None:
        self._file = LogFile(path, _LIMITS)
        self._valve = Valve(_LIMITS.rate, _LIMITS.burst)
        self._lost = 0

    def say(self, text: str) -> None:
        """One line with the time."""
        line = text.encode(errors="backslashreplace")[:_MAX_LINE].replace(b"\n", b" ")
        if not self._valve.admits(len(line), time.monotonic()):
            self._lost += 1
            return
        if self._lost:
            self._file.write([stamped("err", b"[keeper] %d lines not logged" % self._lost)])
            self._lost = 0
        self._file.write([stamped("err", b"[keeper] " + line)])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
