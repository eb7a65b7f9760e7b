"""The machine's own time."""

import time


class SystemClock:
    """The Clock port over the system's clocks."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()
