"""Looks at the process tree all the time: second copies, orphans, growth.

By contract an agent's listening socket is its descriptor 3, and it closes it as
the first thing when it drains. So two processes whose descriptor 3 is the same
socket both take new connections; that is right for as long as one hands over to
the other, and wrong for longer.
"""

import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.supervision import processes
from benchmarks.supervision.processes import Identity, identity, words

PERIOD = 0.1
LISTENING = "fd/3"
MIB = 1 << 20
WARM = 10.0
"""Seconds of a process's life that do not count for its growth."""
LONG = 300.0
"""Seconds of life without which a slope is mere noise."""


class Overlap(NamedTuple):
    """Processes that took connections at one socket together, for so many seconds."""

    pids: frozenset[int]
    seconds: float


class Size(NamedTuple):
    """One look at a process of the supervisor."""

    at: float
    rss: float
    files: int


class Watch:
    """A thread of its own, so that a busy client does not delay it."""

    def __init__(self, own: Callable[[], dict[str, int]]) -> None:
        self.sizes: dict[tuple[str, int], list[Size]] = defaultdict(list)
        self.overlaps: list[Overlap] = []
        self.most = 0
        self._own = own
        self._since: dict[tuple[str, frozenset[int]], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Watch":
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End; hand-overs that are under way count until now."""
        self._over.set()
        self._thread.join(5)
        self._note({})

    @property
    def longest(self) -> float:
        """Seconds of the longest hand-over."""
        return max((overlap.seconds for overlap in self.overlaps), default=0.0)

    def _run(self) -> None:
        looks = 0
        while not self._over.wait(PERIOD):
            own = self._own()
            self._note(sharers(set(own.values())))
            if looks % 10 == 0:
                for role, pid in own.items():
                    self._measure(role, pid)
            looks += 1

    def _note(self, groups: dict[str, frozenset[int]]) -> None:
        now = time.monotonic()
        current = {(sock, pids) for sock, pids in groups.items() if len(pids) > 1}
        self.most = max([self.most, *map(len, groups.values())])
        for key in set(self._since) - current:
            self.overlaps.append(Overlap(key[1], now - self._since.pop(key)))
        for key in current:
            self._since.setdefault(key, now)

    def _measure(self, role: str, pid: int) -> None:
        rss = rss_of(pid)
        if rss:
            size = Size(time.monotonic(), rss, processes.open_files(pid))
            self.sizes[role, pid].append(size)


def sharers(but: set[int]) -> dict[str, frozenset[int]]:
    """Processes below us by the listening socket that is their descriptor 3."""
    found: dict[str, set[int]] = defaultdict(set)
    for pid in processes.descendants(os.getpid()) - but:
        try:
            target = str(Path(f"/proc/{pid}/{LISTENING}").readlink())
        except OSError:
            continue
        if target.startswith("socket:"):
            found[target].add(pid)
    return {sock: frozenset(pids) for sock, pids in found.items()}


def strangers(expected: set[int]) -> list[Identity]:
    """Living processes below us, or with our mark anywhere, that nobody expects."""
    found = (identity(pid) for pid in processes.descendants(os.getpid()) - expected)
    return processes.alive(who for who in found if who is not None)


def described(who: Identity) -> str:
    """A process for a person."""
    stat = processes.stat_of(who.pid)
    parent = stat.parent if stat else 0
    return f"{who.pid} (child of {parent}): {' '.join(words(who.pid))[:120]}"


def rss_of(pid: int) -> float:
    """Resident memory in MiB, 0 when the process is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def growth(sizes: list[Size]) -> tuple[float, float] | None:
    """MiB and descriptors per hour, by the line of least squares; None for too short a life."""
    warm = [size for size in sizes if size.at - sizes[0].at > WARM]
    if sizes[-1].at - sizes[0].at < LONG:
        return None
    hours = [size.at / 3600 for size in warm]
    rss = statistics.linear_regression(hours, [size.rss for size in warm]).slope
    files = statistics.linear_regression(hours, [float(size.files) for size in warm]).slope
    return rss, files
