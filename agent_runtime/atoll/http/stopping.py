"""Answers whoever has got no answer yet when the server stops."""

import asyncio

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Message, Receive, Scope, Send

from atoll.http.asgi import AsgiApp, send_answer
from atoll.http.faults import STOPPING, dialect_of, error_body


class ToldOfTheStop:
    """Wraps an ASGI application: a cancelled request is a 503 in its dialect, and no traceback.

    The server cancels requests only at the end of its drain; a client that hangs
    up is a message, not a cancellation.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if not started and scope["type"] == ScopeType.HTTP:
                body = error_body(dialect_of(scope["path"]), STOPPING)
                await send_answer(send, STOPPING.status, body)
