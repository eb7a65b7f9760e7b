"""One request to a child's `POST /api/v1/turns`, and its events as they come."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from msgspec import Struct

from atoll.adapters.lenient_json import UNREADABLE
from atoll.adapters.peer import UpstreamStatus
from atoll.adapters.upstream import Upstream, drain
from atoll.core.hops import GoesRound
from atoll.core.papers import Journey, Seal, papers_of
from atoll.errors import UpstreamGarbage, UpstreamLost
from atoll.wire.events import Event, Failure, RunEnd

PATH = "/api/v1/turns"
MOST_BYTES = 32 * 1024 * 1024
"""Of one turn's events, whatever they say."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encode = msgspec.json.Encoder().encode


class _Said(Struct, frozen=True):
    content: str
    role: str = "user"


class _Asked(Struct, frozen=True):
    messages: tuple[_Said, ...]


class NotAtoll(UpstreamGarbage):
    """Something else than an agent of ATOLL answers there."""


async def asked(
    upstream: Upstream, task: str, journey: Journey, seal: Seal
) -> AsyncGenerator[Event, None]:
    """The events of the child's turn, the last one a RunEnd or a Failure.

    Raises UpstreamError and its kin; GoesRound when the child refuses the path.
    Closing the generator hangs up, by which the child knows that nobody wants the rest.
    """
    papers = papers_of(journey, seal, secrets.token_hex(8))
    headers = [(name, value.encode()) for name, value in papers.items()]
    where = upstream.peer.where
    body, size = _encode(_Asked((_Said(task),))), 0
    try:
        async with aclosing(upstream.lines(PATH, body, headers)) as lines:
            async for line in lines:
                size += len(line)
                if size > MOST_BYTES:
                    raise UpstreamGarbage(f"{where} answered more than {MOST_BYTES} bytes")
                event = _event(line, where)
                yield event
                if isinstance(event, RunEnd | Failure):
                    await drain(lines)
                    return
    except UpstreamStatus as error:
        if error.answered == GoesRound.status:
            raise GoesRound(error.words) from None
        if error.answered in (404, 405):
            raise NotAtoll(f"{where} is no agent of ATOLL: nothing is at {PATH} there") from None
        raise
    raise UpstreamLost(f"the answer of {where} broke off: it has no end")


def _event(line: bytes, where: str) -> Event:
    try:
        return _decoder.decode(line)
    except UNREADABLE as error:
        raise UpstreamGarbage(f"{where} answered what is no event of a turn: {error}") from None
