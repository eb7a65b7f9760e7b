"""Small ASGI parts that every dialect uses: read a body, send an answer, notice a lost client."""

import asyncio
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


async def while_connected(receive: Receive, work: Awaitable[None]) -> None:
    """Await `work`, cancelling it when the client hangs up; returns quietly then.

    The request's body must have been read. This is what ends the generation at the model
    (row C14 of ollama-api.md). The work stays in this task: another would cost too much.
    """
    task = asyncio.current_task()
    assert task is not None
    before, is_lost = task.cancelling(), False

    def hang_up(watcher: asyncio.Future[None]) -> None:
        nonlocal is_lost
        if not watcher.cancelled():
            is_lost = task.cancel()

    watcher = asyncio.ensure_future(_hung_up(receive))
    watcher.add_done_callback(hang_up)
    try:
        await work
    except asyncio.CancelledError:
        if not is_lost or task.uncancel() > before:
            raise
    finally:
        watcher.remove_done_callback(hang_up)
        watcher.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def require_post(scope: Scope) -> None:
    """Raise Litestar's 405 for any other method: a raw ASGI handler is called for all of them."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
        raise MethodNotAllowedException(headers={"Allow": "POST"})
