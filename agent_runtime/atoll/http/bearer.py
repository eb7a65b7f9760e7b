"""Asks for a token on an agent that has one; without one any Authorization header passes unread."""

import hashlib
import hmac

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.http.asgi import AsgiApp, send_answer
from atoll.http.faults import dialect_of, error_body
from atoll.wire.events import Failure

OPEN = frozenset(("/health", "/ready"))
"""What a supervisor or load balancer asks without a token."""

_REFUSED = Failure(
    "unauthorized",
    "this agent needs its token: send it as Authorization: Bearer TOKEN",
    "client",
    401,
)


class Bearer:
    """Wraps an ASGI application; `token` is the secret every request must show."""

    def __init__(self, app: AsgiApp, token: str) -> None:
        self._app = app
        self._digest = _digest(token.encode())

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._shown(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": 1008, "reason": _REFUSED.message})
        else:
            body = error_body(dialect_of(scope["path"]), _REFUSED)
            await send_answer(send, 401, body, headers=((b"www-authenticate", b"Bearer"),))

    def _shown(self, scope: Scope) -> bool:
        return hmac.compare_digest(_digest(_offered(scope)), self._digest)


def _offered(scope: Scope) -> bytes:
    """The token of a request, b"" for none.

    It is in `Authorization`; without that, in `x-api-key`, where Anthropic's clients have it.
    """
    offered = [value for name, value in scope["headers"] if name == b"authorization"]
    keys = [value for name, value in scope["headers"] if name == b"x-api-key"]
    if not offered and len(keys) == 1:
        return keys[0].strip()
    scheme, _, token = offered[0].partition(b" ") if len(offered) == 1 else (b"", b"", b"")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _digest(text: bytes) -> bytes:
    """Of one length for every token, so that comparing them tells nothing about it."""
    return hashlib.sha256(text).digest()
