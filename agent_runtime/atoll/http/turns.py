"""Runs a turn for a client: in one piece, or as a stream that always ends in its dialect."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol

from litestar.types import Scope, Send

from atoll.http.answer import Answer, gathered
from atoll.http.asgi import send_answer
from atoll.http.faults import STOPPING, TurnFailed
from atoll.http.hangup import while_connected
from atoll.loop.agent import Agent
from atoll.wire.events import Emit, Event, Failure, RunEnd
from atoll.wire.turn import TurnRequest

NO_BUFFERING = (b"x-accel-buffering", b"no")
"""Asks a proxy in front to pass every chunk on at once."""


class Projection(Protocol):
    """How a dialect writes a turn."""

    media_type: bytes

    def line(self, event: Event) -> bytes:
        """What one event adds to a stream; b"" for nothing."""
        ...

    def whole(self, answer: Answer) -> bytes:
        """The body of an answer in one piece."""
        ...


class Client(NamedTuple):
    """Who is answered: one request whose body has been read."""

    scope: Scope
    send: Send


Done = Callable[[RunEnd], Awaitable[None]]
"""What follows from a turn that succeeded; done before the client is told of its end."""
_Run = Callable[[Emit], Awaitable[None]]


async def answer_turn(
    agent: Agent,
    request: TurnRequest,
    projection: Projection,
    client: Client,
    done: Done,
    *,
    stream: bool,
) -> None:
    """Run the turn and send it; raises TurnFailed while nothing has been sent.

    A client that hangs up ends the turn. At the server's stop a stream is told
    so and ended; whoever has got nothing yet sees the CancelledError's 503.
    """

    run = partial(agent.turn, request)
    if stream:
        await _Stream(projection, client.send, done).answer(client.scope, run)
    else:
        await while_connected(client.scope, _whole(run, projection, client.send, done))


async def _whole(run: _Run, projection: Projection, send: Send, done: Done) -> None:
    events: list[Event] = []

    async def emit(event: Event) -> None:
        if isinstance(event, RunEnd):
            await done(event)
        events.append(event)

    await run(emit)
    await send_answer(send, 200, projection.whole(gathered(events)))


class _Stream:
    """An answer in parts that always has an end.

    Nothing goes out before the first event that a client may see, so that a
    turn that fails early still gets its true status.
    """

    def __init__(self, projection: Projection, send: Send, done: Done) -> None:
        self._projection = projection
        self._send = send
        self._done = done
        self._failure: Failure | None = None
        self._started = False
        self._ended = False

    async def answer(self, scope: Scope, run: _Run) -> None:
        """Send the events as they come, until the turn, the client or the server ends."""
        try:
            await while_connected(scope, self._all(run))
        except asyncio.CancelledError:  # the server stops; a lost client raises nothing
            if not self._started or self._ended:
                raise
            await self._part(STOPPING)
            await self._end()

    async def _all(self, run: _Run) -> None:
        await run(self._part)
        if self._failure is not None:
            raise TurnFailed(self._failure)
        await self._end()

    async def _part(self, event: Event) -> None:
        if isinstance(event, RunEnd):
            await self._done(event)
        if not self._started and isinstance(event, Failure):
            self._failure = event
            return
        if not (line := self._projection.line(event)):
            return
        if not self._started:
            await self._start()
        await self._send({"type": "http.response.body", "body": line, "more_body": True})

    async def _start(self) -> None:
        kind = (b"content-type", self._projection.media_type)
        headers = [kind, (b"cache-control", b"no-cache"), NO_BUFFERING]
        self._started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _end(self) -> None:
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
