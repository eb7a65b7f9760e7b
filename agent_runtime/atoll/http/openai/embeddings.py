"""`POST /v1/embeddings`: vectors as numbers, or as base64 of little-endian float32."""

import base64
import struct
from collections.abc import Sequence

import msgspec
from litestar import asgi
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from atoll.errors import ClientError
from atoll.http.access import agent_of
from atoll.http.asgi import read_body, require_post, send_answer
from atoll.http.decoding import decode
from atoll.http.embedding import Vectors, check_embedder, embedded, inputs_of
from atoll.http.hangup import while_connected
from atoll.loop.agent import Agent
from atoll.ports import EmbedRequest
from atoll.wire.json import JsonValue


class EmbeddingsRequest(Struct, kw_only=True):
    """`POST /v1/embeddings`; OpenAI's own client asks for base64 when it is not told otherwise."""

    model: str | None = None
    input: JsonValue = None
    encoding_format: str | None = None
    dimensions: int | None = None


class EmbeddingOut(Struct):
    """The vector of the input with that index."""

    object: str
    embedding: tuple[float, ...] | str
    index: int


class EmbeddingUsage(Struct):
    """Tokens; an embedding has no completion."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct):
    """The answer."""

    object: str
    data: list[EmbeddingOut]
    model: str
    usage: EmbeddingUsage


_decoder = msgspec.json.Decoder(EmbeddingsRequest)
_encode = msgspec.json.Encoder().encode


@asgi("/v1/embeddings", copy_scope=False)
async def embeddings(scope: Scope, receive: Receive, send: Send) -> None:
    """Vectors of one text or of many."""
    require_post(scope)
    agent = agent_of(scope["litestar_app"])
    body = decode(_decoder, await read_body(receive))
    as_text = _wants_base64(body.encoding_format)
    # Unlike `[]`, a text that is empty is one to embed, as upstream has it.
    inputs = ("",) if body.input == "" else inputs_of(body.input)
    if not inputs:
        raise ClientError("invalid input")
    model = body.model or ""
    check_embedder(agent, model)
    wanted = body.dimensions or 0
    request = EmbedRequest(inputs=inputs, dimensions=wanted if wanted > 0 else None)
    await while_connected(scope, _answer(agent, request, model, send, as_text=as_text))


async def _answer(
    agent: Agent, request: EmbedRequest, model: str, send: Send, *, as_text: bool
) -> None:
    made = await embedded(agent, request)
    await send_answer(send, 200, _encode(_list(model, made, as_text=as_text)))


def _list(model: str, made: Vectors, *, as_text: bool) -> EmbeddingList:
    rows = [_base64(row) if as_text else row for row in made.rows]
    data = [EmbeddingOut("embedding", row, index) for index, row in enumerate(rows)]
    return EmbeddingList(
        "list", data, model, EmbeddingUsage(made.prompt_tokens, made.prompt_tokens)
    )


def _wants_base64(encoding_format: str | None) -> bool:
    if encoding_format not in (None, "", "float", "base64"):
        raise ClientError(
            f"Invalid value for 'encoding_format' = {encoding_format}."
            " Supported values: ['float', 'base64']."
        )
    return encoding_format == "base64"


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
