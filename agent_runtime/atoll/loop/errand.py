"""The tools of one step, run side by side, and what they say of themselves meanwhile."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence

from atoll.core.hops import Hop
from atoll.core.papers import Journey
from atoll.core.trace import Trace
from atoll.loop.ledger import Ledger
from atoll.ports import Outcome, Toolbox
from atoll.wire.events import Below, Warning
from atoll.wire.messages import Call, Usage

MOST_WAITING = 64
"""Events that wait for their reader before a tool has to."""

Said = Below | Warning


class Errand:
    """The Caller of one turn: runs its tools and passes on what children say.

    `came` is how the turn came here, `me` the agent that it is of.
    """

    def __init__(self, ledger: Ledger, came: Journey | None, me: Hop) -> None:
        self.ledger = ledger
        self.outcomes: Sequence[Outcome] = ()
        self._hops = came.hops if came is not None else (me,)
        self._trace = came.trace if came is not None else None
        self._side_by_side = 1
        self._said: asyncio.Queue[Said | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MOST_WAITING)

    @property
    def journey(self) -> Journey:
        """The way to this agent, and each call's share of what is left."""
        self._trace = self._trace or Trace(secrets.token_hex(16))
        left = self.ledger.left(self._side_by_side)
        return Journey(hops=self._hops, trace=self._trace, allowance=left)

    async def say(self, event: Said) -> None:
        """Tell this event now; waits while the client reads slowly."""
        await self._room.acquire()
        self._said.put_nowait(event)

    def spend(self, usage: Usage, calls: int) -> None:
        """Count what was used below."""
        self.ledger.spend(usage, calls)

    async def run(self, toolbox: Toolbox, calls: Sequence[Call]) -> AsyncGenerator[Said, None]:
        """Run them all; `outcomes` are complete at the end, in the order of the calls.

        Raises what one of them raises. Closing the generator ends them all.
        """
        self._side_by_side = len(calls)
        tasks = [asyncio.create_task(toolbox.call(call)) for call in calls]
        for task in tasks:
            task.add_done_callback(lambda _: self._said.put_nowait(None))
        try:
            ended = 0
            while ended < len(tasks):
                event = await self._said.get()
                if event is None:
                    ended += 1
                    _raise_first_fault(tasks)
                else:
                    self._room.release()
                    yield event
            self.outcomes = [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _raise_first_fault(tasks: Sequence[asyncio.Task[Outcome]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
