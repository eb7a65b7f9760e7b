"""The keeper's one thread: descriptors that became readable, and timers. epoll(7), nothing else."""

import select
import time
from collections.abc import Callable
from heapq import heappop, heappush

Callback = Callable[[], object]
Complain = Callable[[str], None]

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_PENANCE = 0.01
"""Seconds of rest after an error of our own, so that one that comes back cannot eat the core."""


class Timer:
    """Something that will be done, unless it is cancelled first."""

    def __init__(self, at: float, callback: Callback) -> None:
        self.at = at
        self.callback: Callback | None = callback

    def __lt__(self, other: "Timer") -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """Do not do it."""
        self.callback = None


class Loop:
    """Calls back; an error in a callback is complained about and ends nothing."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._gone: set[int] = set()
        self._timers: list[Timer] = []
        self._going = True

    def watch(self, fd: int, callback: Callback, events: int = READ) -> None:
        """Call whenever the descriptor is ready; raises OSError for one that cannot be."""
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def unwatch(self, fd: int) -> None:
        """Call no more; to be done before the descriptor is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            self._gone.add(fd)

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Call once, after `delay` seconds."""
        timer = Timer(time.monotonic() + delay, callback)
        heappush(self._timers, timer)
        return timer

    def run(self, after: Callback) -> None:
        """Turn until `stop`; `after` is called at the end of every turn."""
        while self._going:
            self._turn()
            self._try(after)

    def stop(self) -> None:
        """End after this turn."""
        self._going = False

    def close(self) -> None:
        """Give the kernel's object back."""
        self._epoll.close()

    def _turn(self) -> None:
        ready = self._epoll.poll(self._patience())
        self._gone.clear()
        for fd, _ in ready:
            # A number that was closed in this turn may belong to somebody else by now.
            if fd not in self._gone and (callback := self._callbacks.get(fd)):
                self._try(callback)
        self._ring()

    def _patience(self) -> float | None:
        """Seconds until the next timer; None without one."""
        while self._timers and self._timers[0].callback is None:
            heappop(self._timers)
        return max(0.0, self._timers[0].at - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].at <= now:
            if callback := heappop(self._timers).callback:
                self._try(callback)

    def _try(self, callback: Callback) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001  every unit ends with the keeper: it goes on
            self._complain(_described(error))
            time.sleep(_PENANCE)


def _described(error: Exception) -> str:
    """An error of ours in one line, with the place where it came up."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_code.co_filename.rpartition("/")[2] if trace else "?"
    line = trace.tb_lineno if trace else 0
    return f"internal error, please report it: {type(error).__name__}: {error} ({name}:{line})"
