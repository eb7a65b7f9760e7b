"""The daemon's two faces on one port: the gateway for clients of agents, the management API."""

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send
from msgspec.structs import replace

from atoll.http.asgi import AsgiApp
from atoll.http.bearer import Bearer
from atoll.http.guard import Guard, GuardRules
from atoll_supervisor.gateway.app import Gateway, serves
from atoll_supervisor.ports import Fleet


class Doors:
    """Leads each request to one face by its path; each has a guard of its own before it."""

    def __init__(self, gateway: AsgiApp, management: AsgiApp) -> None:
        self._gateway = gateway
        self._management = management

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._management(scope, receive, send)
        elif scope["type"] == ScopeType.HTTP and serves(scope["path"]):
            await self._gateway(scope, receive, send)
        else:
            await self._management(scope, receive, send)


def guarded_gateway(fleet: Fleet, rules: GuardRules, token: str) -> Guard:
    """The gateway as it is served where management has these `rules`.

    Ollama's own rules for pages and bodies (ollama-api.md 3.2): a local page or an
    app may speak to it, and a body is JSON whatever it is called. The management
    token has no part in it; `token` is the agents' own, if they ask for one.
    """
    gateway = Gateway(fleet, token)
    theirs = replace(rules, same_origin_only=False, exempt_content_type=("/",))
    return Guard(Bearer(gateway, token) if token else gateway, theirs)
