"""What a child says in its turn, passed on into the parent's events as it comes."""

import msgspec

from atoll.adapters.children.caller import Caller
from atoll.adapters.tool_text import cut, sendable
from atoll.core.hops import MOST
from atoll.errors import UpstreamLost
from atoll.ports import Outcome
from atoll.wire.events import (
    Below,
    Event,
    Failure,
    OwnEvent,
    RunEnd,
    RunStart,
    StepStart,
    Token,
    ToolCall,
    Warning,
)
from atoll.wire.messages import Usage

MOST_TOLD = 5_000
"""Events of one call that are passed on: a parent remembers the events of its turn."""


class Answering:
    """One turn of the child called `name`; `outcome` is there after its last event.

    `has_begun` once it did or said something that must not be done or said twice.
    Its answer itself is not passed on piece by piece: it is the tool's result.
    """

    def __init__(self, name: str, caller: Caller, most: int) -> None:
        self.outcome: Outcome | None = None
        self.has_begun = False
        self._name = name
        self._caller = caller
        self._most = most
        self._run_id = ""
        self._told = 0
        self._waiting: list[OwnEvent] = []

    async def take(self, event: Event) -> None:
        """Pass one event on and count what it cost; raises UpstreamLost from a child that stops."""
        match event:
            case Below():
                await self._from_below(event)
            case RunStart() | StepStart() | Warning() if not self.has_begun:
                self._run_id = event.run_id if isinstance(event, RunStart) else self._run_id
                self._waiting.append(event)
            case Token():
                await self._begin()
            case RunEnd():
                self._caller.spend(_counted(event.usage), 0)
                await self._tell(msgspec.structs.replace(event, answer=""))
                answer = cut(sendable(event.answer), self._most)
                self.outcome = Outcome(
                    answer or "(it answered nothing)", failed=not event.completed
                )
            case Failure(code="stopping") if not self.has_begun:
                raise UpstreamLost(f"{self._name} is stopping")  # its successor may be asked
            case Failure():
                self._caller.spend(_counted(event.usage), 0)
                await self._tell(event)
                self.outcome = Outcome(sendable(f"{self._name} failed: {event.message}"), True)
            case _:
                await self._tell(event)

    async def _from_below(self, event: Below) -> None:
        await self._begin()
        path = (self._name, *event.path)[:MOST]
        await self._say(Below(path, event.run_id, event.event))

    async def _begin(self) -> None:
        """What was waiting is told once the child goes on: until then it may be asked again."""
        self.has_begun = True
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            await self._say(Below((self._name,), self._run_id, event))

    async def _tell(self, event: OwnEvent) -> None:
        await self._begin()
        await self._say(Below((self._name,), self._run_id, event))

    async def _say(self, event: Below) -> None:
        if isinstance(event.event, ToolCall):
            self._caller.spend(Usage(), 1)
        self._told += 1
        if self._told <= MOST_TOLD:
            await self._caller.say(event)
        elif self._told == MOST_TOLD + 1:
            words = f"{self._name} says very much: of its events the first {MOST_TOLD} are shown"
            await self._caller.say(Warning(words))


def _counted(usage: Usage) -> Usage:
    """What a child says it used; it cannot give anything back."""
    told = msgspec.structs.asdict(usage)
    return Usage(**{name: max(0, amount) for name, amount in told.items()})
