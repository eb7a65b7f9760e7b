"""Small ASGI parts that every dialect uses: read a body, send an answer."""

from collections.abc import Awaitable, Callable, Sequence

from litestar.enums import ScopeType
from litestar.exceptions import MethodNotAllowedException
from litestar.types import HTTPScope, LifeSpanScope, Receive, Scope, Send

from atoll.errors import ClientError

AsgiApp = Callable[[Scope | LifeSpanScope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"


def header_of(scope: HTTPScope, wanted: bytes) -> str:
    """The first header of that name, which is in lower case; "" without it."""
    found = (value for name, value in scope["headers"] if name == wanted)
    return next(found, b"").decode("latin-1")


async def read_body(receive: Receive) -> bytes:
    """The whole request body; raises ClientError when the client leaves before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientError("the client left before its request was complete")
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def send_answer(
    send: Send, status: int, body: bytes, *, media_type: bytes = JSON, headers: Headers = ()
) -> None:
    """Send one whole answer; a body-less one carries no type."""
    told = [*headers, (b"content-type", media_type)] if body else list(headers)
    if status != 204:
        told.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def require_post(scope: Scope) -> None:
    """Raise Litestar's 405 for any other method: a raw ASGI handler is called for all of them."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
        raise MethodNotAllowedException(headers={"Allow": "POST"})
