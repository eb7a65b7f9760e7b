"""`POST /v1/completions`: one prompt, through the chat template, as `/api/generate` takes it."""

import secrets
import time

import msgspec
from litestar import asgi
from litestar.types import Receive, Scope, Send

from atoll.errors import ClientError
from atoll.http.access import agent_of
from atoll.http.answer import Answer
from atoll.http.asgi import JSON, read_body, require_post, send_answer
from atoll.http.checks import check_abilities, check_model
from atoll.http.decoding import decode
from atoll.http.ollama.models import tagged
from atoll.http.openai.legacy_projection import TextProjection
from atoll.http.openai.legacy_wire import TextRequest
from atoll.http.openai.words import stops_of
from atoll.http.turns import Client, answer_turn
from atoll.loop.agent import KEEP_ALIVE, Agent
from atoll.wire.events import RunEnd
from atoll.wire.json import JsonValue
from atoll.wire.messages import Message, Options, Usage
from atoll.wire.turn import TurnRequest

decoder = msgspec.json.Decoder(TextRequest)


@asgi("/v1/completions", copy_scope=False)
async def text_completions(scope: Scope, receive: Receive, send: Send) -> None:
    """What follows a prompt; without a prompt, load the model, as upstream does."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    request = decode(decoder, await read_body(receive))
    check_model(agent, request.model or "")
    turn = text_turn(request)
    projection = _projection(request)
    stream = request.stream is True
    if not turn.messages:
        await _load(agent, projection, send, stream=stream)
        return
    await check_abilities(agent, turn)

    async def done(_end: RunEnd) -> None:
        agent.keep(KEEP_ALIVE)

    await answer_turn(agent, turn, projection, Client(scope, send), done, stream=stream)


def text_turn(request: TextRequest) -> TurnRequest:
    """The turn a request asks for, without messages when its prompt is empty; pure."""
    prompt, model = _prompt(request.prompt), request.model or ""
    if request.suffix:
        raise ClientError(f"{tagged(model)} does not support insert")
    return TurnRequest(
        model=model,
        messages=(Message(role="user", content=prompt),) if prompt else (),
        options=Options(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop=stops_of(request.stop),
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
        ),
    )


def _prompt(given: JsonValue) -> str:
    match given:
        case None | []:
            return ""
        case str(text) | [str(text)]:
            return text
        case _:
            raise ClientError(
                "'prompt' must be a string, or a list of one: send several prompts one by one, "
                "and text instead of token ids"
            )


async def _load(agent: Agent, projection: TextProjection, send: Send, *, stream: bool) -> None:
    took = await agent.load()
    end = RunEnd("", "load", Usage(load_ns=took), took)
    if stream:
        body, media_type = projection.line(end), projection.media_type
    else:
        body, media_type = projection.whole(Answer("", "", (), end)), JSON
    await send_answer(send, 200, body, media_type=media_type)


def _projection(request: TextRequest) -> TextProjection:
    options = request.stream_options
    return TextProjection(
        f"cmpl-{secrets.token_hex(12)}",
        int(time.time()),
        request.model or "",
        usage=options is not None and options.include_usage is True,
    )
