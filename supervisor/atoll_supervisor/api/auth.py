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

WORK = {"work": True}
"""The `opt` of a handler that lets agents work, as the gateway does: it wants their own token,
where they have one, and none where they have none (DESIGN section 11)."""

BY_TOKEN: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]
"""The two ways to show the token, for the OpenAPI entry of a handler that needs it."""

_WORK_HINT = "send it as `Authorization: Bearer …` or `X-API-Key`"
_HINT = "`atoll token show` prints the token; send it as `Authorization: Bearer …` or `X-API-Key`"


class Unauthorized(ClientError):
    """The request shows no token, or a wrong one."""

    code = "unauthorized"
    status = 401


class Access(Struct, frozen=True):
    """The token of this daemon; None when it was started with `--auth none`.

    `work_token` is that of the agents' clients, "" when they need none.
    """

    token: str | None
    work_token: str = ""

    def admits(self, offered: str) -> bool:
        """Whether `offered` is the token, in a time that does not tell how nearly."""
        if self.token is None:
            return True
        return matches(self.token, offered)

    def admits_work(self, offered: str) -> bool:
        """Whether whoever offers this may have agents work."""
        return not self.work_token or matches(self.work_token, offered) or self.admits(offered)


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
        offered = _offered(connection)
        if handler.opt.get("public") or self._access.admits(offered):
            return
        if handler.opt.get("work") and self._access.admits_work(offered):
            return
        if handler.opt.get("work"):
            raise Unauthorized(f"this needs the agents' token: {_WORK_HINT}")
        # The same words for none and for a wrong one: a guesser learns nothing.
        raise Unauthorized(f"this needs the management token: {_HINT}")


def _offered(connection: ASGIConnection[BaseRouteHandler, object, object, State]) -> str:
    """The token that a request shows, "" for none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return connection.headers.get("x-api-key", "")
