"""The agent's application: which handlers there are, and how their errors are spelled."""

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from atoll.http.absent import ABSENT
from atoll.http.access import give
from atoll.http.anthropic.routes import messages
from atoll.http.arrivals import Arrivals
from atoll.http.asgi import AsgiApp
from atoll.http.bearer import Bearer
from atoll.http.direct import Direct
from atoll.http.fleet_rlm.routes import FLEET_RLM
from atoll.http.guard import Guard, GuardRules
from atoll.http.heads import HeadAsGet
from atoll.http.health import health, ready
from atoll.http.kawai.routes import chat as kawai_chat
from atoll.http.kawai.routes import stream
from atoll.http.kawai.sessions import SESSIONS
from atoll.http.native.routes import turns
from atoll.http.ollama.embed import EMBED
from atoll.http.ollama.library import LIBRARY
from atoll.http.ollama.lists import ps, root, show, tags, version
from atoll.http.ollama.turns import chat, generate
from atoll.http.openai.embeddings import embeddings
from atoll.http.openai.legacy import text_completions
from atoll.http.openai.routes import completions, model, models
from atoll.http.reference.routes import REFERENCE
from atoll.http.refusals import refusal_of
from atoll.http.responses.routes import responses
from atoll.http.sessions import cleanup, sessions
from atoll.http.stopping import ToldOfTheStop
from atoll.loop.agent import Agent

AnyRequest = Request[object, object, State]

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

RAW = (
    *(chat, generate, embeddings, kawai_chat, stream),
    *(completions, text_completions, responses, messages, turns),
)
"""The handlers that models are asked through."""


def agent_routes() -> Litestar:
    """Every route of an agent that is given to it later, without the checks that `guarded` adds.

    Making them is the longest part of a start: a template does it once for all its agents.
    """
    return Litestar(
        [
            *(root, version, tags, ps, show, *EMBED, *LIBRARY, models, model),
            *(*SESSIONS, *FLEET_RLM, *REFERENCE),
            *(health, ready, sessions, cleanup, *ABSENT, *RAW),
        ],
        exception_handlers={HTTPException: _refused, Exception: _refused},
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
    give(routes, agent, is_private=bool(token))
    server = agent.manifest.server
    rules = GuardRules(
        bind_host=bind_host,
        machine=machine,
        allowed_hosts=server.allowed_hosts,
        allowed_origins=server.allowed_origins,
        exempt_content_type=ANY_CONTENT_TYPE,
    )
    direct = Direct(routes, RAW)
    answering = HeadAsGet(direct, spared=lambda path: path == "/stream")  # its GET runs a turn
    app = Arrivals(answering, agent.seal, agent.slug)
    # Inside the Guard: a browser's preflight carries no token.
    return ToldOfTheStop(Guard(Bearer(app, token) if token else app, rules))


def _refused(request: AnyRequest, error: Exception) -> Response[bytes]:
    told = refusal_of(request.method, request.url.path, error)
    headers, media_type = dict(told.headers), told.media_type.decode()
    return Response(told.body, status_code=told.status, headers=headers, media_type=media_type)
