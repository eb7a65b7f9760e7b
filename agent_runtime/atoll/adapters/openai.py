"""The `openai` back end: any server that speaks /v1/chat/completions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from atoll.adapters import openai_wire as wire
from atoll.adapters.embedding import over_openai
from atoll.adapters.lenient_json import decoded
from atoll.adapters.logprobs import wanted_by
from atoll.adapters.offered import Offered
from atoll.adapters.openai_models import info_of, listed
from atoll.adapters.openai_request import body_of, embed_body_of
from atoll.adapters.peer import Peer, UpstreamStatus
from atoll.adapters.stopwatch import Stopwatch, length_of
from atoll.adapters.upstream import Upstream, drain
from atoll.adapters.wire_names import off_wire, on_wire
from atoll.adapters.words import spoken
from atoll.errors import UpstreamError, UpstreamGarbage
from atoll.ports import (
    CallsDelta,
    Chunk,
    Clock,
    Done,
    Embedded,
    EmbedRequest,
    ModelInfo,
    ModelRequest,
)
from atoll.wire.messages import Usage

STRICT_HOST = "api.openai.com"
PING_TIMEOUT = 2.0
END = b"[DONE]"


def openai_peer(url: str, timeout: float = 300.0, api_key: str = "") -> Peer:
    """The Peer of a server at `url`; without a path `/v1` is added (DESIGN section 11)."""
    bare = url.rstrip("/")
    base = bare if urlsplit(bare).path else f"{bare}/v1"
    remedy = "start the model's server, or set [llm] base_url"
    return Peer(
        name="the model's server", url=base, remedy=remedy, timeout=timeout, api_key=api_key
    )


class OpenAIModel:
    """The Model port over /v1; an empty name means the first model the server lists."""

    def __init__(self, peer: Peer, model: str, clock: Clock) -> None:
        self._upstream = Upstream(peer)
        self._model = model
        self._clock = clock
        self._strict = urlsplit(peer.url).hostname == STRICT_HOST

    async def describe(self) -> ModelInfo:
        """Ask /v1/models, and llama.cpp's /props for its chat template."""
        try:
            models = await listed(self._upstream)
        except UpstreamStatus as error:
            if error.answered not in (404, 405):
                raise
            models = []
        self._model = self._model or next((m.id for m in models), "")
        return await info_of(self._upstream, models, self._model)

    async def ping(self) -> None:
        """GET /v1/models; a server without that list is alive too."""
        try:
            await self._upstream.fetch("GET", "/models", within=PING_TIMEOUT)
        except UpstreamStatus as error:
            if error.answered not in (404, 405):
                raise

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Generate over /v1/chat/completions, or /v1/completions for a raw prompt."""
        path = "/chat/completions" if request.raw_prompt is None else "/completions"
        if not self._model:
            await self.describe()
        body = msgspec.json.encode(body_of(self._model, on_wire(request), strict=self._strict))
        watch = Stopwatch(self._clock)
        reading = Reading(self._upstream.peer.where, watch, request)
        offered = Offered(request, self._upstream.peer.where)
        async with (
            aclosing(self._upstream.lines(path, body)) as lines,
            aclosing(reading.chunks(lines)) as chunks,
        ):
            async for chunk in chunks:
                if offered.passes(chunk):
                    yield chunk
            offered.end()
            asked = length_of(request.messages, request.raw_prompt)
            yield Done(reading.reason, watch.complete(reading.usage, asked))
            await drain(lines)

    async def embed(self, request: EmbedRequest) -> Embedded:
        """Embed over /v1/embeddings."""
        if not self._model:
            await self.describe()
        body = msgspec.json.encode(embed_body_of(self._model, request))
        return await over_openai(self._upstream, body, request)

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()


class Reading:
    """One SSE answer being read; when `chunks` is over, `usage` and `reason` are known."""

    def __init__(self, where: str, watch: Stopwatch, request: ModelRequest) -> None:
        self.usage = Usage()
        self._finished = ""
        self._where = where
        self._watch = watch
        self._request = request
        self._alternatives = wanted_by(request)
        self._calls = wire.CallParts()

    async def chunks(self, lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[Chunk, None]:
        """Everything but the end; calls come when they are complete. Raises UpstreamError."""
        async for line in lines:
            data = wire.data_of(line)
            if data == END:
                break
            if data is not None:
                for chunk in self._read(decoded(wire.EVENT, data, self._where)):
                    self._watch.piece()
                    yield chunk
        if not self._finished:
            raise UpstreamGarbage(f"the answer of {self._where} broke off")
        if calls := self._calls.take():
            yield CallsDelta(off_wire(calls, self._request))

    @property
    def reason(self) -> Literal["stop", "length"]:
        """Every other reason (tool_calls, content_filter) is a stop."""
        return "length" if self._finished == "length" else "stop"

    def _read(self, event: wire.Event) -> list[Chunk]:
        if event.error is not None:
            raise UpstreamError(f"{self._where} says: {spoken(event.error)}")
        if event.usage or event.timings:
            self.usage = wire.usage_of(event)
        chunks: list[Chunk] = []
        for choice in event.choices or []:
            chunks += wire.chunks_of(choice, self._alternatives)
            if choice.delta and choice.delta.tool_calls:
                self._watch.piece()
                self._calls.add(choice.delta.tool_calls)
            self._finished = choice.finish_reason or self._finished
        return chunks
