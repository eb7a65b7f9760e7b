"""How much somebody may send within a second."""

import time
from collections.abc import Callable


class Meter:
    """Counts what comes within the running second."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._began = now()
        self._count = 0

    def passes(self) -> bool:
        """Count one more; whether it is within what a second may hold."""
        now = self._now()
        if now - self._began >= 1.0:
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= self._most
