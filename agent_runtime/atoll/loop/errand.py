"""The tools of one step, run side by side, and what they say of themselves meanwhile."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Protocol

from atoll.core.hops import Hop
from atoll.core.papers import Journey
from atoll.core.trace import Trace
from atoll.loop.ledger import Ledger
from atoll.ports import Outcome, Toolbox
from atoll.wire.events import Below, Emit, Warning
from atoll.wire.messages import Call, Usage

MOST_WAITING = 64
"""Events that wait for their reader before a tool has to."""

Said = Below | Warning


class Errand:
    """The turn as its tools see it: runs them, and passes on what children say.

    `came` is how the turn came here, `me` the agent that it is of.
    """

    def __init__(self, ledger: Ledger, came: Journey | None, me: Hop) -> None:
        self.ledger = ledger
        self._hops = came.hops if came is not None else (me,)
        self._trace = came.trace if came is not None else None
        self._side_by_side = 1
        self._line: _Line | None = None

    @property
    def journey(self) -> Journey:
        """The way to this agent, and each call's share of what is left."""
        self._trace = self._trace or Trace(secrets.token_hex(16))
        left = self.ledger.left(self._side_by_side)
        return Journey(hops=self._hops, trace=self._trace, allowance=left)

    async def say(self, event: Said) -> None:
        """Tell this event now; waits while the client reads slowly."""
        if self._line is not None:
            await self._line.say(event)

    def spend(self, usage: Usage, calls: int) -> None:
        """Count what was used below."""
        self.ledger.spend(usage, calls)

    async def run(self, toolbox: Toolbox, calls: Sequence[Call], emit: Emit) -> Sequence[Outcome]:
        """Run them all; their outcomes, in the order of the calls.

        What they say meanwhile is emitted from here, one event after the other.
        Raises what one of them raises, and ends the others.
        """
        self._side_by_side = len(calls)
        line = self._line = _Line()
        tasks = [asyncio.create_task(toolbox.call(call)) for call in calls]
        for task in tasks:
            task.add_done_callback(lambda _: line.one_ended())
        try:
            for _ in tasks:
                while (event := await line.heard()) is not None:
                    await emit(event)
                _raise_first_fault(tasks)
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Children(Protocol):
    """The agents that an agent may call, as tools."""

    async def turn(self, rest: Toolbox, caller: Errand) -> Toolbox:
        """The agent's other tools and its children beside them, for one turn; never raises."""
        ...

    async def close(self) -> None:
        """Give up every connection."""
        ...


class _Line:
    """From the tools that run to the one who emits, in the order in which they speak."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Said | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MOST_WAITING)

    async def say(self, event: Said) -> None:
        await self._room.acquire()
        self._said.put_nowait(event)

    def one_ended(self) -> None:
        self._said.put_nowait(None)

    async def heard(self) -> Said | None:
        """The next event, None for each tool that has ended."""
        event = await self._said.get()
        if event is not None:
            self._room.release()
        return event


def _raise_first_fault(tasks: Sequence[asyncio.Task[Outcome]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
