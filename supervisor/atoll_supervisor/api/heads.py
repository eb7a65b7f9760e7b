"""HEAD where GET is public: the same answer, and uvicorn leaves its body out.

RFC 9110 section 9.3.2. The token is asked for behind this, as for every GET.
"""

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.http.asgi import AsgiApp


class HeadAsGet:
    """Lets HEAD pass wherever GET does, but for logs: following one may never end."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD" and not _is_log(scope):
            got = scope.copy()  # uvicorn looks at its own to see that it was a HEAD
            got["method"] = "GET"
            await self._app(got, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_log(scope: Scope) -> bool:
    """`/api/v1/agents/{name}/logs`; an agent may be called `logs`."""
    return scope["path"].rstrip("/").split("/")[5:] == ["logs"]
