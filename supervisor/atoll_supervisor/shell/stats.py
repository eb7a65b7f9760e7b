"""How much processor time and memory the units use, sampled once a second, or less often if many.

Kept descriptors of /proc/PID/stat, read with pread: 200 units cost 0.9 ms
where psutil takes 10 to 16 ms (performance.md section 7). A kept descriptor of
a dead process answers ESRCH, never the numbers of a later one with its pid.
The management API reads the snapshot and never /proc.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

INTERVAL = 1.0
MOST_READS = 100
"""Processes that are read in a second: a large fleet is sampled less often, and costs no more."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_MAX = 4096


class Usage(Struct, frozen=True):
    """A unit's main process: percent of one core since the last sample, resident bytes."""

    cpu_percent: float
    rss_bytes: int


class Sampler:
    """Samples the processes it was told to watch."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._snapshot: Mapping[str, Usage] = MappingProxyType({})

    @property
    def snapshot(self) -> Mapping[str, Usage]:
        """The last sample by unit; never changes once handed out."""
        return self._snapshot

    def watch(self, unit: str, pid: int) -> None:
        """Sample this process as the unit's from now on; one that is gone already is ignored."""
        self.forget(unit)
        try:
            self._watched[unit] = _Watched(pid)
        except OSError:
            return

    def forget(self, unit: str) -> None:
        """Stop sampling the unit."""
        if watched := self._watched.pop(unit, None):
            watched.close()

    def sample(self) -> None:
        """Read every process and replace the snapshot."""
        now = time.monotonic()
        found = {unit: watched.read(now) for unit, watched in self._watched.items()}
        self._snapshot = MappingProxyType({unit: use for unit, use in found.items() if use})

    async def run(self) -> None:
        """Sample every INTERVAL seconds, or as `MOST_READS` allows, until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(max(INTERVAL, len(self._watched) / MOST_READS))

    def close(self) -> None:
        """Forget every unit."""
        for unit in list(self._watched):
            self.forget(unit)


class _Watched:
    """One process; the fields of its stat file are those of proc(5)."""

    def __init__(self, pid: int) -> None:
        self._fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._at = 0.0
        self._ticks = 0

    def read(self, now: float) -> Usage | None:
        try:
            data = os.pread(self._fd, _MAX, 0)
        except ProcessLookupError:
            return None
        fields = data[data.rindex(b")") + 2 :].split()
        ticks = int(fields[11]) + int(fields[12])
        percent = 100 * (ticks - self._ticks) / _TICKS / (now - self._at) if self._at else 0.0
        self._at, self._ticks = now, ticks
        return Usage(round(percent, 1), int(fields[21]) * _PAGE)

    def close(self) -> None:
        os.close(self._fd)
