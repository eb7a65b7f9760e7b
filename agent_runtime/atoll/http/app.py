"""The agent's application: which handlers there are, and how their errors are spelled."""

import logging

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from atoll.http.absent import ABSENT
from atoll.http.access import give
from atoll.http.anthropic.routes import messages
from atoll.http.asgi import AsgiApp
from atoll.http.bearer import Bearer
from atoll.http.faults import dialect_of, error_body, failure_of
from atoll.http.fleet_rlm.routes import FLEET_RLM
from atoll.http.guard import Guard, GuardRules
from atoll.http.heads import HeadAsGet
from atoll.http.health import health, ready
from atoll.http.kawai.routes import chat as kawai_chat
from atoll.http.kawai.routes import stream
from atoll.http.kawai.sessions import SESSIONS
from atoll.http.ollama.embed import EMBED
from atoll.http.ollama.library import LIBRARY
from atoll.http.ollama.lists import ps, root, show, tags, version
from atoll.http.ollama.turns import chat, generate
from atoll.http.openai.embeddings import embeddings
from atoll.http.openai.legacy import text_completions
from atoll.http.openai.routes import completions, model, models
from atoll.http.reference.routes import REFERENCE
from atoll.http.responses.routes import responses
from atoll.http.sessions import cleanup, sessions
from atoll.http.stopping import ToldOfTheStop
from atoll.loop.agent import Agent
from atoll.wire.events import Failure

AnyRequest = Request[object, object, State]

_log = logging.getLogger("atoll.http")

ANY_CONTENT_TYPE = (
    "/api/chat",
    "/api/generate",
    "/api/show",
    "/api/embed",
    "/api/pull",
    "/api/push",
    "/api/create",
    "/api/copy",
    "/api/delete",
    "/api/blobs/",
    "/api/me",
    "/api/signout",
    "/api/user/keys/",
    "/api/experimental/",
    "/v1/",
)
"""Real clients of Ollama send its paths bodies of any type or none (ollama-api.md 1.2)."""


def agent_routes() -> Litestar:
    """Every route of an agent that is given to it later, without the checks that `guarded` adds.

    Making them is the longest part of a start: a template does it once for all its agents.
    """
    return Litestar(
        [
            *(root, version, tags, ps, show, chat, generate, *EMBED, *LIBRARY),
            *(models, model, completions, text_completions, embeddings, responses, messages),
            *(kawai_chat, stream, *SESSIONS, *FLEET_RLM),
            *(health, ready, sessions, cleanup, *REFERENCE, *ABSENT),
        ],
        exception_handlers={HTTPException: _rejected, Exception: _failed},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # the Guard counts, for raw handlers too
    )


def guarded(
    agent: Agent, bind_host: str, machine: str, token: str = "", routes: Litestar | None = None
) -> AsgiApp:
    """The application as it is served at `bind_host` on the machine of that name.

    With a `token`, requests must show it. `routes` are those that were made for it beforehand.
    """
    routes = routes or agent_routes()
    give(routes, agent)
    server = agent.manifest.server
    rules = GuardRules(
        bind_host=bind_host,
        machine=machine,
        allowed_hosts=server.allowed_hosts,
        allowed_origins=server.allowed_origins,
        exempt_content_type=ANY_CONTENT_TYPE,
    )
    app = HeadAsGet(routes, spared=lambda path: path == "/stream")  # its GET runs a turn
    # Inside the Guard: a browser's preflight carries no token.
    return ToldOfTheStop(Guard(Bearer(app, token) if token else app, rules))


def _rejected(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """An error of Litestar's: unknown path or wrong method, and hardly any other."""
    path, status = request.url.path, error.status_code
    dialect = dialect_of(path)
    # A path that is nobody's is answered as Ollama does: its clients probe with such (row A19).
    if status == 404 and dialect in ("ollama", "atoll"):
        return _text(b"404 page not found", error)
    if status == 405 and dialect == "ollama":
        return _text(b"405 method not allowed", error)
    if status == 404:
        failure = Failure("not_found", f"nothing is served at {path!r}", "client", 404)
    elif status < 500:
        failure = Failure("bad_request", error.detail, "client", status)
    else:
        return _failed(request, error)
    return _answer(path, failure, error.headers)


def _text(text: bytes, error: HTTPException) -> Response[bytes]:
    status, headers = error.status_code, error.headers
    return Response(text, status_code=status, headers=headers, media_type="text/plain")


def _failed(request: AnyRequest, error: Exception) -> Response[bytes]:
    """An error of ours, or one that should not be: that one goes to the log."""
    failure = failure_of(error)
    if failure.code == "internal":
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request.url.path, failure)


def _answer(path: str, failure: Failure, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(
        error_body(dialect_of(path), failure),
        status_code=failure.status,
        headers=headers,
        media_type="application/json; charset=utf-8",
    )
