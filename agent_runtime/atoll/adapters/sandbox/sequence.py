"""One step after the other, in the order they were asked for."""

import asyncio
from collections.abc import Callable, Coroutine

from atoll.ports import CodeOutcome

Step = asyncio.Task[CodeOutcome]
Work = Callable[[], Coroutine[object, object, CodeOutcome]]


class Sequence:
    """A queue of steps without a lock: each waits for all that were added before it."""

    def __init__(self) -> None:
        self._open: set[Step] = set()

    def add(self, work: Work) -> Step:
        """Do this next; cancelling the task before its turn takes it out of the queue."""
        step = asyncio.create_task(_after(frozenset(self._open), work))
        self._open.add(step)
        step.add_done_callback(self._open.discard)
        return step

    async def end(self) -> None:
        """Wait until everything that was added is done."""
        if self._open:
            await asyncio.wait(self._open)


async def _after(before: frozenset[Step], work: Work) -> CodeOutcome:
    if before:
        await asyncio.wait(before)
    return await work()
