"""`POST /api/embed`, and `POST /api/embeddings`, which it replaced and which clients still use."""

import msgspec
from litestar import asgi
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from atoll.http.access import agent_of
from atoll.http.asgi import read_body, require_post, send_answer
from atoll.http.checks import required
from atoll.http.decoding import decode
from atoll.http.embedding import check_embedder, embedded, inputs_of
from atoll.http.hangup import while_connected
from atoll.http.ollama.keepalive import keep_alive_seconds
from atoll.http.ollama.options import options_of
from atoll.http.ollama.projection import encode
from atoll.loop.agent import Agent
from atoll.ports import EmbedRequest
from atoll.wire.json import JsonObject, JsonValue


class EmbeddingsRequest(Struct, kw_only=True):
    """`POST /api/embeddings`."""

    model: str | None = None
    prompt: str | None = None
    keep_alive: JsonValue = None
    options: JsonObject | None = None


class EmbedBody(Struct, kw_only=True):
    """`POST /api/embed`; `truncate` is true when it is not said."""

    model: str | None = None
    input: JsonValue = None
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: JsonValue = None
    options: JsonObject | None = None


class EmbedAnswer(Struct, kw_only=True, omit_defaults=True):
    """One vector for each input; without one there is nothing to measure. Nanoseconds."""

    model: str
    embeddings: tuple[tuple[float, ...], ...]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class EmbeddingsAnswer(Struct):
    """The vector of the prompt, empty when that is."""

    embedding: tuple[float, ...]


_embed_decoder = msgspec.json.Decoder(EmbedBody)
_embeddings_decoder = msgspec.json.Decoder(EmbeddingsRequest)


@asgi("/api/embed", copy_scope=False)
async def embed(scope: Scope, receive: Receive, send: Send) -> None:
    """Vectors of one text or of many."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    body = decode(_embed_decoder, await read_body(receive))
    inputs = inputs_of(body.input)
    check_embedder(agent, body.model or "")
    request = EmbedRequest(
        inputs=inputs,
        truncate=body.truncate is not False,
        dimensions=_dimensions(body.dimensions),
        options=options_of(body.options),
        keep_alive=keep_alive_seconds(body.keep_alive),
    )
    await while_connected(scope, _answer(agent, request, body.model or "", send))


@asgi("/api/embeddings", copy_scope=False)
async def embeddings(scope: Scope, receive: Receive, send: Send) -> None:
    """The vector of one text."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    body = decode(_embeddings_decoder, await read_body(receive))
    check_embedder(agent, required(body.model))
    request = EmbedRequest(
        inputs=inputs_of(body.prompt),
        options=options_of(body.options),
        keep_alive=keep_alive_seconds(body.keep_alive),
    )
    await while_connected(scope, _answer_one(agent, request, send))


async def _answer(agent: Agent, request: EmbedRequest, model: str, send: Send) -> None:
    answer = EmbedAnswer(model=model, embeddings=())
    if request.inputs:
        made = await embedded(agent, request)
        answer.embeddings = made.rows
        answer.total_duration, answer.load_duration = made.total_ns, made.load_ns
        answer.prompt_eval_count = made.prompt_tokens
    await send_answer(send, 200, encode(answer))


async def _answer_one(agent: Agent, request: EmbedRequest, send: Send) -> None:
    rows = (await embedded(agent, request)).rows if request.inputs else ((),)
    await send_answer(send, 200, encode(EmbeddingsAnswer(rows[0])))


def _dimensions(given: int | None) -> int | None:
    """0 and less mean all, as upstream."""
    return given if given and given > 0 else None


EMBED = (embed, embeddings)
