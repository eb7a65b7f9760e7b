"""One turn of a session: what is remembered goes in, and is written before it is acknowledged."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from atoll.config.manifest import Budget
from atoll.core.budget import check_session, estimated, left_of_session
from atoll.core.compaction import shown
from atoll.core.history import fitted, size_of
from atoll.errors import AtollError
from atoll.loop.compactor import Compactor
from atoll.loop.live_turn import LiveTurn
from atoll.ports import ModelInfo, SessionStore
from atoll.wire.events import Emit, Event, Failure, RunEnd, RunStart, StepStart, Token, Warning
from atoll.wire.memory import Memory
from atoll.wire.messages import Message, Usage
from atoll.wire.turn import TurnRequest

Turn = Callable[[TurnRequest, Emit], Awaitable[None]]
Describe = Callable[[], Awaitable[ModelInfo]]

_log = logging.getLogger("atoll.loop")


class Asked(Struct, frozen=True, kw_only=True):
    """One message to a session; without an id a new session is begun."""

    message: str
    session_id: str = ""
    max_steps: int | None = None
    force_answer: bool = True


class Ground(Struct, frozen=True, kw_only=True):
    """What all turns of an agent stand on.

    `overhead` counts the characters that the model is told beside a conversation.
    """

    model: str
    turn: Turn
    describe: Describe
    store: SessionStore
    compactor: Compactor
    budget: Budget
    overhead: Callable[[], int]


class SessionTurn:
    """Made anew for each turn."""

    def __init__(self, ground: Ground, session_id: str, asked: Asked) -> None:
        self._ground = ground
        self._session_id = session_id
        self._asked = asked
        self._question = Message(role="user", content=asked.message)
        self._memory = Memory()
        self._hidden = Usage()
        self._sentences: list[str] = []
        self._shown: tuple[Message, ...] = ()
        self._said: list[str] = []
        self._steps = 0

    async def run(self, before: Sequence[LiveTurn], emit: Emit) -> None:
        """Run it after all of `before`; a RunEnd is told when its answer is stored."""
        try:
            for other in before:
                await other.ended()
            await self._prepare()
            await self._answer(emit)
        except AtollError as error:
            await emit(Failure(error.code, str(error), error.who, error.status))
        except asyncio.CancelledError:
            await self._keep_what_was_said()
            raise

    async def _keep_what_was_said(self) -> None:
        """A client has seen it; where it cannot be kept the log says so."""
        try:
            if self._said:
                await self._remember("".join(self._said), self._estimate())
            elif self._steps:
                await self._spend(self._estimate())
        except AtollError as error:
            _log.warning("a turn that was cut off is not remembered: %s", error)

    async def _prepare(self) -> None:
        """Recall the session and compact it; raises BudgetSpent when it may cost no more."""
        ground, budget = self._ground, self._ground.budget
        self._memory = await ground.store.recall(self._session_id) or Memory()
        check_session(budget, self._memory.tokens)
        info, overhead = await ground.describe(), ground.overhead()
        await self._compact(info, overhead)
        check_session(budget, self._memory.tokens)
        told = (*shown(self._memory), self._question)
        self._shown, left_out = fitted(told, info.context_length, overhead)
        if left_out:
            self._sentences.append(
                f"the conversation does not fit into the model's context of {info.context_length}"
                f" tokens: its oldest {left_out} messages are not shown to it"
            )

    async def _compact(self, info: ModelInfo, overhead: int) -> None:
        ground, covered = self._ground, self._memory.summary.covers
        done = await ground.compactor.compacted(self._memory, self._question, info, overhead)
        self._memory = done.memory
        if done.usage is None:
            return
        await ground.store.note(self._session_id, self._memory)  # not paid for a second time
        self._hidden = done.usage
        if (covers := self._memory.summary.covers) != covered:
            self._sentences.append(
                f"compacted: the oldest {covers} messages of the session are shown to the model"
                " as a summary from now on; all of them are kept"
            )

    async def _answer(self, emit: Emit) -> None:
        async def tell(event: Event) -> None:
            match event:
                case RunStart():
                    await emit(event)
                    for sentence in self._sentences:
                        await emit(Warning(sentence))
                    return
                case StepStart():
                    self._steps += 1
                case Token():
                    self._said.append(event.text)
                case RunEnd():
                    await self._remember(event.answer, total(event.usage))
                    event = msgspec.structs.replace(event, usage=event.usage + self._hidden)
                case Failure():
                    await self._count_failed(event)
                case _:
                    pass
            await emit(event)

        await self._ground.turn(self._request(), tell)

    def _request(self) -> TurnRequest:
        return TurnRequest(
            model=self._ground.model,
            messages=self._shown,
            max_steps=self._asked.max_steps,
            force_answer=self._asked.force_answer,
            session=self._session_id,
            tokens_left=left_of_session(self._ground.budget, self._memory.tokens),
        )

    async def _remember(self, answer: str, tokens: int) -> None:
        """Store the exchange, with all that is beside it, in one write."""
        said = Message(role="assistant", content=answer)
        memory = msgspec.structs.replace(
            self._memory,
            messages=(*self._memory.messages, self._question, said),
            tokens=self._memory.tokens + tokens,
        )
        await self._ground.store.keep(self._session_id, memory)

    async def _count_failed(self, failure: Failure) -> None:
        try:
            await self._spend(max(total(failure.usage), self._estimate()))
        except AtollError as error:  # what failed first is what the client is told
            _log.warning("the tokens of a turn that failed are not counted: %s", error)

    async def _spend(self, tokens: int) -> None:
        """Count a turn that is not remembered."""
        memory = msgspec.structs.replace(self._memory, tokens=self._memory.tokens + tokens)
        await self._ground.store.note(self._session_id, memory)

    def _estimate(self) -> int:
        """The tokens of a turn that ended without telling them."""
        return estimated(size_of(self._shown), self._steps, sum(map(len, self._said)))


def total(usage: Usage) -> int:
    """Tokens read and written."""
    return usage.prompt_tokens + usage.completion_tokens
