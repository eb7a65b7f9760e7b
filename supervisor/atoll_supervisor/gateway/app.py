"""The gateway's application: which path is answered by whom, and how its errors are spelled.

Raw ASGI from end to end: it comes before Litestar, whose dispatch alone costs
a tenth of what the whole gateway may add to a first token.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.errors import AtollError
from atoll.http.asgi import read_body
from atoll.http.faults import dialect_of, failure_of
from atoll.http.hangup import while_connected
from atoll.wire.events import Failure
from atoll_supervisor.gateway import fixed
from atoll_supervisor.gateway.carrier import PATIENCE, Carrier, Question
from atoll_supervisor.gateway.exchange import Exchange
from atoll_supervisor.gateway.lists import Lists, known
from atoll_supervisor.gateway.naming import FORWARDED
from atoll_supervisor.gateway.relay import Relay, asked_with
from atoll_supervisor.gateway.states import answerable
from atoll_supervisor.ports import Fleet

_log = logging.getLogger("atoll.gateway")

Handler = Callable[[Exchange], Awaitable[None]]

CRASHED = Failure("internal", "the daemon failed; its log has the reason", "atoll", 500)
STOPPING = Failure("stopping", "the daemon is stopping; ask again in a moment", "atoll", 503)


def serves(path: str) -> bool:
    """Whether the gateway answers at `path`: Ollama's paths and OpenAI's, and nothing else."""
    return path == "/" or dialect_of(path) != "atoll"


class Gateway:
    """The ASGI application for every path that it `serves`.

    `token` is the one that the agents ask for, "" when they ask for none; `patience` is
    for how many seconds an agent that does not run is waited for.
    """

    def __init__(self, fleet: Fleet, token: str = "", patience: float = PATIENCE) -> None:
        self._fleet = fleet
        self._token = token
        self._carrier = Carrier(fleet, patience)
        own = ((b"authorization", b"Bearer " + token.encode()),) if token else ()
        lists = Lists(fleet, self._carrier, own)
        self._paths: Mapping[str, Mapping[str, Handler]] = {
            "/": {"GET": fixed.root},
            "/api/version": {"GET": fixed.version},
            "/api/status": {"GET": fixed.status},
            "/api/tags": {"GET": lists.tags},
            "/api/ps": {"GET": lists.ps},
            "/api/show": {"POST": lists.show},
            "/api/push": {"POST": fixed.push},
            "/api/create": {"POST": fixed.create},
            "/api/me": {"POST": fixed.no_account},
            "/api/signout": {"POST": fixed.no_account},
            "/v1/models": {"GET": lists.models},
            **{path: {method: self._forward} for path, (method, _) in FORWARDED.items()},
        }
        self._beginnings: Mapping[str, Mapping[str, Handler]] = {
            "/v1/models/": {"GET": lists.model},
            "/api/blobs/": {"GET": fixed.no_blob, "POST": fixed.no_upload},
            "/api/user/keys/": {"DELETE": fixed.no_account},
            "/api/experimental/": {"GET": fixed.experimental, "POST": fixed.experimental},
        }

    def close(self) -> None:
        """Let go of every connection to an agent."""
        self._carrier.forget_all_but(())

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one request; there is nothing here for other types of connections."""
        if scope["type"] == "lifespan" or scope["type"] != ScopeType.HTTP:
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._answer(exchange)
        except AtollError as error:
            await exchange.refuse(failure_of(error))
        except Exception:  # noqa: BLE001  whatever it is, the client gets an answer
            _log.exception("%s %s failed", scope["method"], scope["path"])
            await exchange.refuse(CRASHED)

    async def _answer(self, exchange: Exchange) -> None:
        methods, method = self._methods(exchange.path), exchange.scope["method"]
        # uvicorn leaves the body of an answer to HEAD out by itself.
        handler = methods.get("GET" if method == "HEAD" else str(method))
        if handler is not None:
            await handler(exchange)
        elif methods:
            await _not_allowed(exchange, methods)
        else:
            await _unknown(exchange)

    def _methods(self, path: str) -> Mapping[str, Handler]:
        if (found := self._paths.get(path)) is not None:
            return found
        for begin, methods in self._beginnings.items():
            if path.startswith(begin) and len(path) > len(begin):
                return methods
        return {}

    async def _forward(self, exchange: Exchange) -> None:
        method, naming = FORWARDED[exchange.path]
        body = await read_body(exchange.receive)
        slug = answerable(known(self._fleet, naming, naming.name_in(body))).slug
        scope = exchange.scope
        query = scope["query_string"].decode("ascii", "ignore")
        target = f"{exchange.path}?{query}" if query else exchange.path
        headers = asked_with(scope["headers"], authorized=bool(self._token))
        await self._relayed(exchange, slug, Question(method, target, headers, body))

    async def _relayed(self, exchange: Exchange, slug: str, question: Question) -> None:
        """Until the client hangs up: that closes the connection to the agent at once."""
        relay = Relay(slug, exchange.dialect, exchange.send)
        try:
            await while_connected(exchange.scope, self._carried(relay, slug, question))
        except asyncio.CancelledError:  # the server stops; a client that leaves raises nothing
            if not relay.is_begun:
                await exchange.refuse(STOPPING)
            elif not relay.is_over:
                await relay.end_with(STOPPING)

    async def _carried(self, relay: Relay, slug: str, question: Question) -> None:
        async with self._carrier.ask(slug, question) as answer:
            await relay.carry(answer)


async def _not_allowed(exchange: Exchange, methods: Mapping[str, Handler]) -> None:
    allow = ((b"allow", ", ".join(sorted(methods)).encode()),)
    if exchange.dialect in ("openai", "anthropic"):
        words = f"{exchange.scope['method']} is not offered at {exchange.path!r}"
        await exchange.refuse(Failure("method_not_allowed", words, "client", 405), allow)
    else:
        await exchange.say(405, b"405 method not allowed", allow)


async def _unknown(exchange: Exchange) -> None:
    if exchange.dialect == "ollama":
        await exchange.say(404, b"404 page not found")
    else:
        words = f"nothing is served at {exchange.path!r}"
        await exchange.refuse(Failure("not_found", words, "client", 404))
