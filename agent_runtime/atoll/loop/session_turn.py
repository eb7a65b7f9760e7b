"""One turn of a session: what is remembered goes in, and is written before it is acknowledged."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from atoll.core.history import fitted
from atoll.errors import AtollError
from atoll.loop.live_turn import LiveTurn
from atoll.ports import ModelInfo, SessionStore
from atoll.wire.events import Emit, Event, Failure, RunEnd, RunStart, Token, Warning
from atoll.wire.messages import Message
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


class Ground(Struct, frozen=True):
    """What all turns of an agent stand on."""

    model: str
    turn: Turn
    describe: Describe
    store: SessionStore


class SessionTurn:
    """Made anew for each turn."""

    def __init__(self, ground: Ground, session_id: str, asked: Asked) -> None:
        self._ground = ground
        self._session_id = session_id
        self._asked = asked
        self._known: tuple[Message, ...] = ()
        self._said: list[str] = []

    async def run(self, before: Sequence[LiveTurn], emit: Emit) -> None:
        """Run it after all of `before`; a RunEnd is told when its answer is stored."""
        try:
            for other in before:
                await other.ended()
            self._known = await self._ground.store.load(self._session_id) or ()
            await self._answer(emit)
        except AtollError as error:
            await emit(Failure(error.code, str(error), error.who, error.status))
        except asyncio.CancelledError:
            await self._keep_what_was_said()
            raise

    async def _keep_what_was_said(self) -> None:
        """A client has seen it; where it cannot be kept the log says so."""
        if self._said:
            try:
                await self._remember("".join(self._said))
            except AtollError as error:
                _log.warning("a turn that was cut off is not remembered: %s", error)

    async def _answer(self, emit: Emit) -> None:
        context = (await self._ground.describe()).context_length
        shown, left_out = fitted(self._with_question(), context)

        async def tell(event: Event) -> None:
            if isinstance(event, Token):
                self._said.append(event.text)
            elif isinstance(event, RunEnd):
                await self._remember(event.answer)
            await emit(event)
            if left_out and isinstance(event, RunStart):
                await emit(
                    Warning(
                        f"the conversation does not fit into the model's context of {context}"
                        f" tokens: its oldest {left_out} messages are not shown to it"
                    )
                )

        await self._ground.turn(self._request(shown), tell)

    def _request(self, messages: tuple[Message, ...]) -> TurnRequest:
        return TurnRequest(
            model=self._ground.model,
            messages=messages,
            max_steps=self._asked.max_steps,
            force_answer=self._asked.force_answer,
            session=self._session_id,
        )

    def _with_question(self) -> tuple[Message, ...]:
        return (*self._known, Message(role="user", content=self._asked.message))

    async def _remember(self, answer: str) -> None:
        said = Message(role="assistant", content=answer)
        await self._ground.store.save(self._session_id, (*self._with_question(), said))
