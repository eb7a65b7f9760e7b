"""Hands an agent's answer to the client as it comes; ends it properly if the agent cannot.

Nothing is buffered but the end of a line that is not complete yet: a stream
that breaks off must end with an error that clients can read, and after half a
line they could not.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Literal

from litestar.types import Send

from atoll.adapters.http1 import Answer
from atoll.adapters.http1_connection import Broken, Silent
from atoll.http.asgi import Headers
from atoll.http.faults import Dialect, error_body, failure_of
from atoll.http.turns import NO_BUFFERING
from atoll.wire.events import Failure
from atoll_supervisor.gateway.states import broke_off

MOST_HELD = 64 * 1024
"""Bytes of an incomplete line that are held back; a longer one goes out in parts."""

# RFC 9110 section 7.6.1, and what belongs to one connection by its meaning.
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# The gateway has judged the Origin, has unpacked the body, and must be able to end the answer
# itself.
_NOT_ASKED = _HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"content-encoding",
    b"expect",
    b"origin",
    b"accept-encoding",
}
# The daemon's own server writes these.
_NOT_TOLD = _HOP_BY_HOP | {b"date", b"server"}

Kind = Literal["lines", "events", "whole"]
"""NDJSON, server-sent events, and everything that cannot be ended with an error."""


def asked_with(headers: Iterable[tuple[bytes, bytes]], *, authorized: bool) -> Headers:
    """The headers of a client's request that its agent is to see.

    Authorization is among them only if the agents want a token (`authorized`).
    """
    given = list(headers)
    left_out = _NOT_ASKED | _named(given)
    if not authorized:
        left_out |= {b"authorization"}
    return [(name, value) for name, value in given if name not in left_out]


def told_with(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an agent's answer that its client is to see."""
    given = list(headers)
    left_out = _NOT_TOLD | _named(given) | {NO_BUFFERING[0]}
    return [*((name, value) for name, value in given if name not in left_out), NO_BUFFERING]


def kind_of(headers: Iterable[tuple[bytes, bytes]]) -> Kind:
    """What sort of answer these headers begin."""
    given = dict(headers)
    if b"content-length" in given:  # it leaves no room for an error
        return "whole"
    match given.get(b"content-type", b"").partition(b";")[0].strip().lower():
        case b"application/x-ndjson":
            return "lines"
        case b"text/event-stream":
            return "events"
        case _:
            return "whole"


def last_words(dialect: Dialect, kind: Kind, failure: Failure) -> bytes:
    """The error that ends a stream; b"" where none can be said."""
    match kind:
        case "lines":
            return error_body(dialect, failure) + b"\n"
        case "events":
            event = b"event: error\n" if dialect == "anthropic" else b""
            # The empty line ends whatever event is open.
            return b"\n%bdata: %b\n\n" % (event, error_body(dialect, failure))
        case "whole":
            return b""


class Relay:
    """The way of one answer to one client."""

    def __init__(self, slug: str, dialect: Dialect, send: Send) -> None:
        self._slug = slug
        self._dialect: Dialect = dialect
        self._send = send
        self._kind: Kind = "whole"
        self._line_is_whole = True
        self.is_begun = False
        self.is_over = False

    async def carry(self, answer: Answer) -> None:
        """Send the answer as it comes, until it ends or breaks off."""
        self._kind = kind_of(answer.headers)
        self.is_begun = True
        headers = told_with(answer.headers)
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        try:
            await self._all(answer)
        except (Broken, Silent) as error:
            await self.end_with(failure_of(broke_off(self._slug, str(error))))
        else:
            await self._end()

    async def end_with(self, failure: Failure) -> None:
        """End a stream with an error.

        Any other answer is left incomplete: the server then closes the connection, by
        which the client sees that something is missing.
        """
        if words := last_words(self._dialect, self._kind, failure):
            await self._part(words if self._line_is_whole else b"\n" + words)
            await self._end()

    async def _all(self, answer: Answer) -> None:
        pieces = answer.pieces()
        async with aclosing(pieces if self._kind == "whole" else whole_lines(pieces)) as parts:
            async for part in parts:
                await self._part(part)

    async def _part(self, data: bytes) -> None:
        self._line_is_whole = data.endswith(b"\n")
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self) -> None:
        self.is_over = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def whole_lines(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes, cut at the ends of lines; an incomplete last one is lost with an error."""
    rest = b""
    async for piece in pieces:
        data = rest + piece if rest else piece
        cut = data.rfind(b"\n") + 1
        if len(data) - cut > MOST_HELD:
            cut = len(data)
        rest = data[cut:]
        if cut:
            yield data[:cut]
    if rest:
        yield rest


def _named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What the Connection header says belongs to the connection too."""
    listed = (value.lower().split(b",") for name, value in headers if name == b"connection")
    return frozenset(one.strip() for names in listed for one in names)
