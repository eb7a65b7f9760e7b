"""Runs a turn for a client: in one piece, or as a stream that always ends in its dialect."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from litestar.types import Receive, Send

from atoll.http.answer import Answer, gathered
from atoll.http.asgi import send_answer, while_connected
from atoll.http.faults import STOPPING, TurnFailed
from atoll.loop.agent import Agent
from atoll.wire.events import INTERNAL, Event, Failure, RunEnd
from atoll.wire.turn import TurnRequest

_logger = logging.getLogger("atoll.http")

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
    """Both directions of one request whose body has been read."""

    receive: Receive
    send: Send


Done = Callable[[RunEnd], Awaitable[None]]
"""What follows from a turn that succeeded; done before the client is told of its end."""


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
    events = _finished(agent, request, done)
    if stream:
        await _Stream(projection, client.send).answer(client.receive, events)
    else:
        await while_connected(client.receive, _whole(events, projection, client.send))


async def _finished(agent: Agent, request: TurnRequest, done: Done) -> AsyncGenerator[Event, None]:
    async with aclosing(agent.turn(request)) as events:
        async for event in events:
            if isinstance(event, RunEnd):
                await done(event)
            yield event


async def _whole(events: AsyncGenerator[Event, None], projection: Projection, send: Send) -> None:
    async with aclosing(events):
        answer = gathered([event async for event in events])
    await send_answer(send, 200, projection.whole(answer))


class _Stream:
    """An answer in parts that always has an end.

    Nothing goes out before the first event that a client may see, so that a
    turn that fails early still gets its true status.
    """

    def __init__(self, projection: Projection, send: Send) -> None:
        self._projection = projection
        self._send = send
        self._started = False
        self._ended = False

    async def answer(self, receive: Receive, events: AsyncGenerator[Event, None]) -> None:
        """Send the events as they come, until the turn, the client or the server ends."""
        try:
            await while_connected(receive, self._all(events))
        except asyncio.CancelledError:  # the server stops; a lost client raises nothing
            if not self._started or self._ended:
                raise
            await self._part(STOPPING)
            await self._end()

    async def _all(self, events: AsyncGenerator[Event, None]) -> None:
        async with aclosing(events):
            try:
                async for event in events:
                    await self._part(event)
            except TurnFailed:
                raise
            except Exception:
                _logger.exception("a turn broke")
                await self._part(INTERNAL)
        await self._end()

    async def _part(self, event: Event) -> None:
        if not self._started and isinstance(event, Failure):
            raise TurnFailed(event)
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
