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


class SteadyClock:
    """The Clock port for what grows old: once it runs, nobody who sets the wall clock moves it."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()

    def now(self) -> float:
        """Seconds since the epoch, by a wall clock that was right when this one was made."""
        return time.monotonic() + self._offset
