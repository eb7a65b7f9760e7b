"""What the dialects' embeddings have in common: the input, the model's name, the work itself."""

import time

from msgspec import Struct

from atoll.errors import ClientError, NotFound
from atoll.http.checks import valid_name
from atoll.loop.agent import KEEP_ALIVE, Agent
from atoll.ports import EmbedRequest
from atoll.wire.json import JsonValue


class Vectors(Struct, frozen=True):
    """Vectors of length 1 and what they cost; durations in nanoseconds, never 0."""

    rows: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    load_ns: int
    total_ns: int


def inputs_of(value: JsonValue) -> tuple[str, ...]:
    """The texts of an `input`: none for null, "" and []; raises ClientError for another type."""
    match value:
        case None | "":
            return ()
        case str():
            return (value,)
        case list():
            texts = tuple(item for item in value if isinstance(item, str))
            if len(texts) == len(value):
                return texts
        case _:
            pass
    raise ClientError("invalid input type")


def check_embedder(agent: Agent, model: str) -> None:
    """Raise NotFound unless the agent answers to `model`, in Ollama's words for embeddings."""
    if not model:
        raise NotFound("model '' not found")
    if agent.answers_to(model):
        return
    if not valid_name(model):
        raise ClientError("invalid model name")
    raise NotFound(f'model "{model}" not found, try pulling it first')


async def embedded(agent: Agent, request: EmbedRequest) -> Vectors:
    """Embed, and count the model as loaded for a while more; raises what the agent raises."""
    began = time.monotonic_ns()
    made = await agent.embed(request)
    agent.keep(KEEP_ALIVE if request.keep_alive is None else request.keep_alive)
    total = max(1, time.monotonic_ns() - began)
    return Vectors(made.vectors, max(1, made.prompt_tokens), max(1, made.load_ns), total)
