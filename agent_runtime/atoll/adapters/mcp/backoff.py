"""When a server that was lost is tried again."""

FIRST = 1.0
"""Seconds before the first try."""
MOST = 60.0
"""Seconds between two tries at most; a server that lived so long begins anew."""


class Backoff:
    """Seconds to wait, doubling from one failure to the next."""

    def __init__(self) -> None:
        self._next = FIRST

    def after(self, lived: float) -> float:
        """The pause after a connection that lived for `lived` seconds; 0 is a failed start."""
        if lived >= MOST:
            self._next = FIRST
        pause, self._next = self._next, min(MOST, self._next * 2)
        return pause
