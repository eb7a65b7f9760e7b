"""HEAD where GET is served: the same answer, and uvicorn leaves its body out (RFC 9110 9.3.2)."""

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.http.asgi import AsgiApp

Spared = Callable[[str], bool]
"""Paths whose HEAD is not turned into a GET."""


def _none(_path: str) -> bool:
    return False


class HeadAsGet:
    """Lets HEAD pass wherever GET does, but on `spared` paths."""

    def __init__(self, app: AsgiApp, spared: Spared = _none) -> None:
        self._app = app
        self._spared = spared

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == ScopeType.HTTP and self._turns(scope["method"], scope["path"]):
            got = scope.copy()  # uvicorn looks at its own to see that it was a HEAD
            got["method"] = "GET"
            await self._app(got, receive, send)
        else:
            await self._app(scope, receive, send)

    def _turns(self, method: str, path: str) -> bool:
        return method == "HEAD" and not self._spared(path)
