"""Logprobs as servers of models send them; Ollama and OpenAI have one shape."""

from collections.abc import Iterable

from msgspec import Struct

from atoll.ports import ModelRequest
from atoll.wire.logprobs import Alternative, Logprob


class AlternativeIn(Struct):
    """A token that was possible; null where a server means minus infinity."""

    token: str
    logprob: float | None = None
    bytes: list[int] | None = None


class LogprobIn(AlternativeIn):
    """The token that was taken."""

    top_logprobs: list[AlternativeIn] | None = None


class ContentIn(Struct):
    """OpenAI's wrapper; /v1/completions of some servers has another one, which is left out."""

    content: list[LogprobIn] | None = None


def logprobs_of(items: Iterable[LogprobIn] | None, wanted: int | None) -> tuple[Logprob, ...]:
    """What a server told of its tokens, with at most `wanted` alternatives each.

    None wants no logprobs at all: some servers send what nobody asked for, and
    llama.cpp 20 alternatives when none is asked for.
    """
    if wanted is None:
        return ()
    return tuple(
        Logprob(item.token, item.logprob, tuple(item.bytes or ()), _alternatives(item, wanted))
        for item in items or ()
        if item.logprob is not None
    )


def _alternatives(item: LogprobIn, wanted: int) -> tuple[Alternative, ...]:
    return tuple(
        Alternative(other.token, other.logprob, tuple(other.bytes or ()))
        for other in (item.top_logprobs or [])[:wanted]
        if other.logprob is not None
    )


def wanted_by(request: ModelRequest) -> int | None:
    """How many alternatives a request wants; None when it wants no logprobs."""
    return request.top_logprobs if request.logprobs else None
