"""How many turns run at once, how many wait, and what the next one is told."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from atoll.errors import Busy


class Admission:
    """`[resources] max_concurrent_requests` turns run, up to `max_queue` wait, then Busy."""

    def __init__(self, running: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(running)
        self._limit = running + waiting
        self._inside = 0
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """How many turns wait."""
        return self._inside - self.in_flight

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None, None]:
        """Hold a place for the length of a turn; raises Busy when the queue is full."""
        if self._inside >= self._limit:
            raise Busy("server busy, please try again.  maximum pending requests exceeded")
        self._inside += 1
        try:
            async with self._places:
                self.in_flight += 1
                try:
                    yield
                finally:
                    self.in_flight -= 1
        finally:
            self._inside -= 1
