"""Counts the requests that are open, and knows when the last one was."""

import time

from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.adapters.channel import Pulse
from atoll.http.asgi import AsgiApp
from atoll.http.bearer import OPEN


class Activity:
    """Wraps an ASGI application; a stream or a WebSocket is one request until it ends.

    Questions for the health are left out: whoever asks them does not use the agent.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._in_flight = 0
        self._last = 0.0

    @property
    def pulse(self) -> Pulse:
        """What a beat tells: a request counts as used both when it begins and when it ends."""
        return Pulse(self._in_flight, self._last)

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        self._in_flight += 1
        self._last = time.monotonic()
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1
            self._last = time.monotonic()
