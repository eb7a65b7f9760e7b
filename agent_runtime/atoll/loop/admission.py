"""How many turns run at once, how many wait, and what the next one is told."""

import asyncio

from atoll.errors import Busy


class Admission:
    """`[resources] max_concurrent_requests` turns run, up to `max_queue` wait, then Busy.

    As a context manager it is a place, held for the length of a turn; entering
    raises Busy when the queue is full.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(running)
        self._limit = running + waiting
        self._inside = 0
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """How many turns wait."""
        return self._inside - self.in_flight

    async def __aenter__(self) -> None:
        if self._inside >= self._limit:
            raise Busy("server busy, please try again.  maximum pending requests exceeded")
        self._inside += 1
        try:
            await self._places.acquire()
        except asyncio.CancelledError:
            self._inside -= 1
            raise
        self.in_flight += 1

    async def __aexit__(self, *_raised: object) -> None:
        self.in_flight -= 1
        self._inside -= 1
        self._places.release()
