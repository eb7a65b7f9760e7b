"""Who may use the management API: whoever shows the daemon's token.

The gate is a guard of the whole application, so a new route needs the token
unless its handler says `opt=PUBLIC`; nothing is decided by matching paths
(CVE-2026-48710 and its kin). Guards run before a byte of the body is read.
"""

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from atoll.errors import ClientError
from atoll_supervisor.shell.token import matches

PUBLIC = {"public": True}
"""The `opt` of a handler that answers without the token."""

BY_TOKEN: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]
"""The two ways to show the token, for the OpenAPI entry of a handler that needs it."""

_HINT = "`atoll token show` prints the token; send it as `Authorization: Bearer …` or `X-API-Key`"


class Unauthorized(ClientError):
    """The request shows no token, or a wrong one."""

    code = "unauthorized"
    status = 401


class Access(Struct, frozen=True):
    """The token of this daemon; None when it was started with `--auth none`."""

    token: str | None

    def admits(self, offered: str) -> bool:
        """Whether `offered` is the token, in a time that does not tell how nearly."""
        if self.token is None:
            return True
        return matches(self.token, offered)


class Gate:
    """A Litestar guard that lets a connection pass to public handlers or with the token."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def __call__(
        self,
        connection: ASGIConnection[BaseRouteHandler, object, object, State],
        handler: BaseRouteHandler,
    ) -> None:
        """Return when the connection may pass; raises Unauthorized."""
        if handler.opt.get("public") or self._access.admits(offered(connection)):
            return
        # The same words for none and for a wrong one: a guesser learns nothing.
        raise Unauthorized(f"this needs the management token: {_HINT}")


def offered(connection: ASGIConnection[BaseRouteHandler, object, object, State]) -> str:
    """The token that a request shows, "" for none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return connection.headers.get("x-api-key", "")
