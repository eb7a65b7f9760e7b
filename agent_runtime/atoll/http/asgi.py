"""Small ASGI parts that every dialect uses: read a body, send an answer, notice a lost client."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from litestar.enums import ScopeType
from litestar.exceptions import MethodNotAllowedException
from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.errors import ClientError

AsgiApp = Callable[[Scope | LifeSpanScope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"


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

    The request's body must have been read. Cancelling the turn is what ends the
    generation at the model (row C14 of ollama-api.md).
    """
    worker = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_hung_up(receive))
    try:
        await asyncio.wait((worker, watcher), return_when=asyncio.FIRST_COMPLETED)
        if worker.done():
            worker.result()
    finally:
        watcher.cancel()
        await _ended(worker)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(worker: asyncio.Future[None]) -> None:
    """Cancel `worker` if it still runs and wait until it has cleaned up."""
    if worker.done():
        return
    worker.cancel()
    await asyncio.wait((worker,))
    if not worker.cancelled():
        worker.exception()  # nobody is left to be told; looked at, so that asyncio does not log it


def require_post(scope: Scope) -> None:
    """Raise Litestar's 405 for any other method: a raw ASGI handler is called for all of them."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
        raise MethodNotAllowedException(headers={"Allow": "POST"})
