"""The daemon's two faces on one port: the gateway for clients of agents, the management API."""

import socket

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send
from msgspec.structs import replace

from atoll.http.asgi import AsgiApp
from atoll.http.bearer import Bearer
from atoll.http.guard import Guard, GuardRules
from atoll_supervisor.gateway.app import Gateway, serves
from atoll_supervisor.settings import Settings


class Doors:
    """Leads each request to one face by its path; each has a guard of its own before it.

    `rules` are those of management, `token` is the agents' own, if they ask for one.
    """

    def __init__(
        self, gateway: Gateway, management: AsgiApp, rules: GuardRules, token: str
    ) -> None:
        self._gateway = gateway
        self._guarded = _guarded(gateway, rules, token)
        self._management = Guard(management, rules)

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._management(scope, receive, send)
            self._gateway.close()
        elif scope["type"] == ScopeType.HTTP and serves(scope["path"]):
            await self._guarded(scope, receive, send)
        else:
            await self._management(scope, receive, send)


def rules_of(settings: Settings) -> GuardRules:
    """Who may speak to the daemon's port, by its settings."""
    return GuardRules(
        bind_host=settings.host,
        machine=socket.gethostname(),
        allowed_hosts=settings.allowed_hosts,
        allowed_origins=settings.allowed_origins,
        same_origin_only=True,
        hosts_setting="[daemon] allowed_hosts in atoll.toml, or to ATOLL_ALLOWED_HOSTS",
        origins_setting="[daemon] allowed_origins in atoll.toml, or to ATOLL_ALLOWED_ORIGINS",
    )


def _guarded(gateway: Gateway, rules: GuardRules, token: str) -> Guard:
    """By Ollama's own rules for pages and bodies (ollama-api.md 3.2).

    A local page or an app may speak to it, and a body is JSON whatever it is
    called. The management token has no part in it.
    """
    theirs = replace(rules, same_origin_only=False, exempt_content_type=("/",))
    return Guard(Bearer(gateway, token) if token else gateway, theirs)
