"""Reads what travels with a delegated call (`core/papers.py`) before any dialect sees it."""

from litestar.enums import ScopeType
from litestar.types import LifeSpanScope, Receive, Scope, Send

from atoll.core.papers import NAMES, Seal, journey_of
from atoll.errors import AtollError
from atoll.http.asgi import AsgiApp, send_answer
from atoll.http.faults import dialect_of, error_body, failure_of
from atoll.loop.arrival import arriving


class Arrivals:
    """Wraps an ASGI application of the agent called `me`.

    Forged papers are a 400, a path that goes round or too deep a 508, in the
    words of the request's dialect. A request without papers costs a look at
    its headers.
    """

    def __init__(self, app: AsgiApp, seal: Seal, me: str) -> None:
        self._app = app
        self._seal = seal
        self._me = me

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan" or scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        papers = {name: value for name, value in scope["headers"] if name in NAMES}
        if not papers:
            await self._app(scope, receive, send)
            return
        try:
            read = {name: value.decode("latin-1") for name, value in papers.items()}
            journey = journey_of(read, self._seal, self._me)
        except AtollError as error:
            failure = failure_of(error)
            await send_answer(send, failure.status, error_body(dialect_of(scope["path"]), failure))
            return
        with arriving(journey):
            await self._app(scope, receive, send)
