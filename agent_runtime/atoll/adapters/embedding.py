"""What the back ends that embed over HTTP have in common: their wire types and refusals."""

import msgspec
from msgspec import Struct

from atoll.adapters.lenient_json import decoded
from atoll.adapters.peer import UpstreamStatus
from atoll.adapters.stopwatch import tokens_in
from atoll.adapters.upstream import Upstream
from atoll.errors import ClientError, NoEmbeddings, UpstreamGarbage
from atoll.ports import Embedded, EmbedRequest

MOST_VECTORS = 64 * 1024 * 1024
"""Bytes of an answer: some 3,000 vectors of 1,024 numbers."""
TOO_LONG = "the input length exceeds the context length"
"""Ollama's words (ollama-api.md 2.1)."""

_CANNOT = "not support embedding"


class OllamaVectors(Struct):
    """What /api/embed answers."""

    embeddings: list[list[float]] | None = None
    load_duration: float | None = None
    prompt_eval_count: int | None = None


class OpenAIVector(Struct):
    """One vector of /v1/embeddings; `index` says which input it is of."""

    embedding: list[float]
    index: int = 0


class Counts(Struct):
    """OpenAI's `usage`."""

    prompt_tokens: int | None = None


class OpenAIVectors(Struct):
    """What /v1/embeddings answers."""

    data: list[OpenAIVector] | None = None
    usage: Counts | None = None


OLLAMA = msgspec.json.Decoder(OllamaVectors)
OPENAI = msgspec.json.Decoder(OpenAIVectors)


async def over_ollama(upstream: Upstream, body: bytes, request: EmbedRequest) -> Embedded:
    """Embed with /api/embed; raises ClientError, Busy or UpstreamError."""
    raw = await _answer(upstream, "/api/embed", body)
    answer = decoded(OLLAMA, raw, upstream.peer.where)
    tokens = answer.prompt_eval_count or tokens_in(request.inputs)
    load_ns = int(answer.load_duration or 0)
    return _complete(upstream, request, answer.embeddings or [], tokens, load_ns)


async def over_openai(upstream: Upstream, body: bytes, request: EmbedRequest) -> Embedded:
    """Embed with /v1/embeddings; raises ClientError, Busy or UpstreamError."""
    answer = decoded(OPENAI, await _answer(upstream, "/embeddings", body), upstream.peer.where)
    data = sorted(answer.data or [], key=lambda vector: vector.index)
    tokens = (answer.usage or Counts()).prompt_tokens or tokens_in(request.inputs)
    return _complete(upstream, request, [vector.embedding for vector in data], tokens, 0)


async def _answer(upstream: Upstream, path: str, body: bytes) -> bytes:
    try:
        return await upstream.work(path, body, MOST_VECTORS)
    except UpstreamStatus as error:
        raise _meant(error) from None


def _meant(error: UpstreamStatus) -> ClientError | UpstreamStatus:
    """A refusal that Ollama has a sentence for, in that sentence.

    A server without the route says 404, 405 or, as llama.cpp does, 501; a 404
    that speaks of a model is about that.
    """
    words = error.words.lower()
    absent = error.answered in (405, 501) or (error.answered == 404 and "model" not in words)
    if absent or _CANNOT in words:
        return NoEmbeddings()
    if "exceeds" in words and "context length" in words:
        return ClientError(TOO_LONG)
    return error


def _complete(
    upstream: Upstream,
    request: EmbedRequest,
    vectors: list[list[float]],
    tokens: int,
    load_ns: int,
) -> Embedded:
    if len(vectors) != len(request.inputs):
        raise UpstreamGarbage(
            f"{upstream.peer.where} sent {len(vectors)} vectors for {len(request.inputs)} inputs"
        )
    rows = tuple(tuple(vector) for vector in vectors)
    return Embedded(vectors=rows, prompt_tokens=tokens, load_ns=load_ns)
