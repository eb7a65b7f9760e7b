"""Runs a turn for a client: in one piece, or as a stream that always ends in its dialect."""

import logging
from contextlib import aclosing
from typing import Protocol

from litestar.types import Send

from atoll.http.answer import Answer, gathered
from atoll.http.asgi import send_answer
from atoll.http.faults import INTERNAL, TurnFailed
from atoll.loop.agent import Agent
from atoll.wire.events import Event, Failure
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


async def answer_turn(
    agent: Agent, request: TurnRequest, projection: Projection, send: Send, *, stream: bool
) -> None:
    """Run the turn and send it; raises TurnFailed while nothing has been sent."""
    if stream:
        await _stream(agent, request, projection, send)
        return
    async with aclosing(agent.turn(request)) as events:
        answer = gathered([event async for event in events])
    await send_answer(send, 200, projection.whole(answer))


async def _stream(agent: Agent, request: TurnRequest, projection: Projection, send: Send) -> None:
    """Send lines as they come, and an end whatever happens.

    Nothing goes out before the first event that a client may see, so that a
    turn that fails early still gets its true status.
    """
    started = False
    async with aclosing(agent.turn(request)) as events:
        try:
            async for event in events:
                if not started and isinstance(event, Failure):
                    raise TurnFailed(event)
                if line := projection.line(event):
                    if not started:
                        await _start(send, projection.media_type)
                        started = True
                    await _send_part(send, line)
        except TurnFailed:
            raise
        except Exception:
            _logger.exception("a turn broke")
            if not started:
                raise TurnFailed(INTERNAL) from None
            await _send_part(send, projection.line(INTERNAL))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(send: Send, media_type: bytes) -> None:
    headers = [(b"content-type", media_type), (b"cache-control", b"no-cache"), NO_BUFFERING]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _send_part(send: Send, line: bytes) -> None:
    await send({"type": "http.response.body", "body": line, "more_body": True})
