"""`/v1/models` and `POST /v1/chat/completions`."""

import secrets
import time

from litestar import Request, asgi, get
from litestar.datastructures import State
from litestar.types import Receive, Scope, Send

from atoll.errors import ClientError, NotFound
from atoll.http.access import agent_of
from atoll.http.asgi import read_body, require_post
from atoll.http.checks import (
    check_abilities,
    check_model,
    check_top_logprobs,
    required,
)
from atoll.http.decoding import decode
from atoll.http.openai.projection import CompletionProjection
from atoll.http.openai.requests import completion_turn, decoder
from atoll.http.openai.wire import CompletionRequest, ModelList, ModelOut
from atoll.http.turns import Client, answer_turn
from atoll.loop.agent import KEEP_ALIVE, Agent
from atoll.wire.events import RunEnd

AnyRequest = Request[object, object, State]


@get("/v1/models")
async def models(request: AnyRequest) -> ModelList:
    """The agent, and its model's name as an alias."""
    agent = agent_of(request.app)
    return ModelList("list", [_model(agent, name) for name in (agent.slug, *agent.aliases)])


@get("/v1/models/{model_id:path}")
async def model(request: AnyRequest) -> ModelOut:
    """One model; an id may hold slashes."""
    agent = agent_of(request.app)
    asked = str(request.path_params["model_id"]).lstrip("/")
    if not agent.answers_to(asked):
        raise NotFound(f"model '{asked}' not found")
    return _model(agent, asked)


@asgi("/v1/chat/completions", copy_scope=False)
async def completions(scope: Scope, receive: Receive, send: Send) -> None:
    """A conversation's next answer."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(decoder, await read_body(receive))
    check_top_logprobs(request.top_logprobs)
    model = required(request.model)
    check_model(agent, model)
    if not request.messages:
        raise ClientError("[] is too short - 'messages'")
    turn = completion_turn(request)
    await check_abilities(agent, turn)

    async def done(_end: RunEnd) -> None:
        agent.keep(KEEP_ALIVE)

    projection = _projection(request, model)
    stream = request.stream is True
    await answer_turn(agent, turn, projection, Client(scope, send), done, stream=stream)


def _projection(request: CompletionRequest, model: str) -> CompletionProjection:
    options = request.stream_options
    return CompletionProjection(
        f"chatcmpl-{secrets.token_hex(12)}",
        int(time.time()),
        model,
        usage=options is not None and options.include_usage is True,
    )


def _model(agent: Agent, name: str) -> ModelOut:
    return ModelOut(name, "model", int(agent.started_at), "library")
