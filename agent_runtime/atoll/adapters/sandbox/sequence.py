"""One step after the other, in the order they were asked for."""

import asyncio
from collections.abc import Callable, Coroutine

from atoll.ports import CodeOutcome

Work = Callable[[], Coroutine[object, object, CodeOutcome]]
Steps = asyncio.Task[CodeOutcome]


class Sequence:
    """A queue of steps without a lock: each waits for the one before it."""

    def __init__(self) -> None:
        self.last: Steps | None = None

    def add(self, work: Work) -> Steps:
        """Do this after all that was added before."""
        self.last = asyncio.create_task(_after(self.last, work))
        return self.last


async def _after(before: Steps | None, work: Work) -> CodeOutcome:
    if before is not None and not before.done():
        await asyncio.wait({before})
    return await work()
