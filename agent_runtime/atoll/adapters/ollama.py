"""The `ollama` back end: any server that speaks Ollama's native API."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import get_args

import msgspec

from atoll.adapters import ollama_wire as wire
from atoll.adapters.embedding import over_ollama
from atoll.adapters.lenient_json import decoded
from atoll.adapters.logprobs import wanted_by
from atoll.adapters.offered import Offered
from atoll.adapters.peer import Peer, UpstreamStatus
from atoll.adapters.stopwatch import Stopwatch, length_of
from atoll.adapters.upstream import Upstream, drain
from atoll.adapters.words import spoken
from atoll.config.names import same_model
from atoll.errors import UpstreamError, UpstreamGarbage
from atoll.ports import (
    Capability,
    Chunk,
    Clock,
    Embedded,
    EmbedRequest,
    ModelInfo,
    ModelRequest,
)
from atoll.wire.json import JsonObject

PING_TIMEOUT = 2.0
"""Seconds; a ping that takes longer says that the server is not well."""
REMEDY = "start it with `ollama serve`, or set [llm] base_url"


def ollama_peer(url: str, timeout: float = 300.0, api_key: str = "") -> Peer:
    """The Peer of an Ollama at `url`."""
    return Peer(name="Ollama", url=url, remedy=REMEDY, timeout=timeout, api_key=api_key)


class OllamaModel:
    """The Model port over Ollama; an empty name means the first model it lists."""

    def __init__(self, peer: Peer, model: str, clock: Clock) -> None:
        self._upstream = Upstream(peer)
        self._model = model
        self._clock = clock

    async def describe(self) -> ModelInfo:
        """Ask /api/show, and /api/tags for the size."""
        model = await self._name()
        body = msgspec.json.encode({"model": model})
        try:
            raw = await self._upstream.fetch("POST", "/api/show", body)
        except UpstreamStatus as error:
            raise self._plain(error) from None
        show = decoded(wire.SHOW, raw, self._upstream.peer.where)
        return _info(model, show, await self._size(model))

    async def ping(self) -> None:
        """GET /api/version; a look-alike's 404 is a sign of life too."""
        try:
            await self._upstream.fetch("GET", "/api/version", within=PING_TIMEOUT)
        except UpstreamStatus as error:
            if error.answered >= 500:
                raise

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Generate over /api/chat, or /api/generate for a raw prompt."""
        path = "/api/chat" if request.raw_prompt is None else "/api/generate"
        body = msgspec.json.encode(wire.body_of(await self._name(), request))
        watch, where = Stopwatch(self._clock), self._upstream.peer.where
        offered, alternatives = Offered(request, where), wanted_by(request)
        try:
            async with aclosing(self._upstream.lines(path, body)) as lines:
                async for raw in lines:
                    if not raw.strip():
                        continue
                    line = decoded(wire.LINE, raw, where)
                    if line.error is not None:
                        raise UpstreamError(f"{where} says: {spoken(line.error)}")
                    for chunk in wire.chunks_of(line, alternatives):
                        watch.piece()
                        if offered.passes(chunk):
                            yield chunk
                    if line.done:
                        offered.end()
                        asked = length_of(request.messages, request.raw_prompt)
                        yield wire.done_of(line, watch.complete(wire.usage_of(line), asked))
                        await drain(lines)
                        return
        except UpstreamStatus as error:
            raise self._plain(error) from None
        raise UpstreamGarbage(f"the answer of {where} broke off")

    async def embed(self, request: EmbedRequest) -> Embedded:
        """Embed over /api/embed."""
        body = msgspec.json.encode(wire.embed_body_of(await self._name(), request))
        try:
            return await over_ollama(self._upstream, body, request)
        except UpstreamStatus as error:
            raise self._plain(error) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def _name(self) -> str:
        if not self._model:
            self._model = await first_listed(self._upstream)
        return self._model

    async def _size(self, model: str) -> int:
        try:
            raw = await self._upstream.fetch("GET", "/api/tags", within=PING_TIMEOUT)
            models = decoded(wire.TAGS, raw, self._upstream.peer.where).models or []
        except UpstreamError:
            return 0
        return next((m.size or 0 for m in models if same_model(m.name or m.model, model)), 0)

    def _plain(self, error: UpstreamStatus) -> UpstreamError:
        """A missing model, said with the command that fetches it."""
        if error.answered == 404 and "not found" in error.words:
            name, where = self._model, self._upstream.peer.where
            return UpstreamError(f"{where} has no model '{name}': run `ollama pull {name}`")
        return error


async def first_listed(upstream: Upstream, within: float = PING_TIMEOUT) -> str:
    """The first model that an Ollama lists; raises UpstreamError when there is none."""
    raw = await upstream.fetch("GET", "/api/tags", within=within)
    for model in decoded(wire.TAGS, raw, upstream.peer.where).models or []:
        if name := model.name or model.model:
            return name
    raise UpstreamError(f"{upstream.peer.where} has no model: run `ollama pull llama3.2`")


def _info(model: str, show: wire.Show, size: int) -> ModelInfo:
    details, facts = show.details or wire.Details(), show.model_info or {}
    family = str(facts.get("general.architecture") or details.family or "")
    return ModelInfo(
        backend="ollama",
        model=model,
        capabilities=_capabilities(show.capabilities or []),
        architecture=family,
        context_length=_count(facts, f"{family}.context_length"),
        embedding_length=_count(facts, f"{family}.embedding_length"),
        parameter_size=details.parameter_size or "",
        quantization=details.quantization_level or "",
        size=size,
    )


def _capabilities(told: list[str]) -> tuple[Capability, ...]:
    known: tuple[Capability, ...] = get_args(Capability)
    return tuple(name for name in known if name in told) or ("completion",)


def _count(facts: JsonObject, key: str) -> int:
    value = facts.get(key)
    return value if isinstance(value, int) else 0
