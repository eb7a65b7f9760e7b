"""Takes requests to raw handlers past Litestar's own way to them.

That way costs 11 microseconds of each request (performance.md section 4): a state of
its own, a search in a tree, a chain of calls. A raw handler has no use for them.
"""

from collections.abc import Iterable

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, LifeSpanScope, Receive, Scope, Send

from atoll.http.asgi import send_answer
from atoll.http.refusals import refusal_of


class Direct:
    """Wraps a Litestar application; `handlers` are those of its own that are called directly."""

    def __init__(self, app: Litestar, handlers: Iterable[ASGIRouteHandler]) -> None:
        self._app = app
        self._by_path = {path: handler.fn for handler in handlers for path in handler.paths}

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == ScopeType.HTTP and scope["path"] in self._by_path:
            scope["litestar_app"] = self._app
            try:
                await self._by_path[scope["path"]](scope, receive, send)
            except Exception as error:  # noqa: BLE001  whatever it is, the client gets an answer
                await _refuse(scope, send, error)
        else:
            await self._app(scope, receive, send)


async def _refuse(scope: HTTPScope, send: Send, error: Exception) -> None:
    told = refusal_of(scope["method"], scope["path"], error)
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    await send_answer(send, told.status, told.body, media_type=told.media_type, headers=headers)
