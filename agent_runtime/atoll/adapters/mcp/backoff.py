"""When a server that was lost is tried again (DESIGN section 4: at once, then ever more slowly)."""

FIRST = 1.0
"""Seconds before the second try; the first is made at once."""
MOST = 60.0
"""Seconds between two tries at most; a server that lived so long begins anew."""


class Backoff:
    """Seconds to wait, doubling from one failure to the next."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float) -> float:
        """The pause after a connection that lived for `lived` seconds; 0 is a failed start."""
        pause = 0.0 if lived >= MOST else self._next
        self._next = min(MOST, max(FIRST, pause * 2))
        return pause
