"""The `scripted` back end: says what its script says, for tests and demonstrations."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator

from atoll.adapters.embedding import TOO_LONG
from atoll.adapters.invented import VECTOR, invented_logprobs, vector_of
from atoll.adapters.logprobs import wanted_by
from atoll.adapters.script import ALWAYS, Conditions, Script, Turn, load_script
from atoll.adapters.stopwatch import Stopwatch, length_of
from atoll.errors import ClientError, NoEmbeddings, UpstreamError
from atoll.ports import (
    CallsDelta,
    Chunk,
    Clock,
    Done,
    Embedded,
    EmbedRequest,
    ModelInfo,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
)
from atoll.wire.messages import Call, Message, Usage

FAIR = 16
"""Pieces without a delay after which others get their turn of the loop."""

__all__ = ["ScriptedModel", "load_script"]


class ScriptedModel:
    """The Model port over a Script; counts how often each group of turns was used."""

    def __init__(self, script: Script, model: str, clock: Clock) -> None:
        self._script = script
        self._model = model
        self._clock = clock
        self._groups = _grouped(script)
        self._used: Counter[Conditions] = Counter()
        self._calls = 0

    async def describe(self) -> ModelInfo:
        """What the script claims."""
        return ModelInfo(
            backend="scripted",
            model=self._model,
            capabilities=self._script.capabilities,
            architecture="scripted",
            context_length=self._script.context_length,
            embedding_length=VECTOR if self._embeds else 0,
        )

    async def ping(self) -> None:
        """Always well."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Play the next turn for this request; raises UpstreamError where the script says so."""
        turn, watch = self._next(request), Stopwatch(self._clock)
        chunks = self._chunks(turn, wanted_by(request))
        for number, chunk in enumerate(chunks[: turn.after] if turn.error else chunks, 1):
            if turn.delay or number % FAIR == 0:
                await asyncio.sleep(turn.delay)
            watch.piece()
            yield chunk
        if turn.error:
            await asyncio.sleep(turn.delay)
            raise UpstreamError(turn.error)
        asked = length_of(request.messages, request.raw_prompt)
        yield Done(turn.reason, watch.complete(Usage(), asked))

    async def embed(self, request: EmbedRequest) -> Embedded:
        """Vectors that follow from the words alone; a word is a token.

        Raises NoEmbeddings unless the script claims them, ClientError for a text
        over its context that must not be cut.
        """
        if not self._embeds:
            raise NoEmbeddings
        texts = [text.split() for text in request.inputs]
        most = self._script.context_length or sys.maxsize
        if not request.truncate and any(len(words) > most for words in texts):
            raise ClientError(TOO_LONG)
        taken = [words[:most] for words in texts]
        vectors = tuple(map(vector_of, taken))
        return Embedded(vectors=vectors, prompt_tokens=max(1, sum(map(len, taken))))

    async def close(self) -> None:
        """Nothing to give up."""

    @property
    def _embeds(self) -> bool:
        return "embedding" in self._script.capabilities

    def _next(self, request: ModelRequest) -> Turn:
        asked = _question(request)
        system = "\n".join([m.content for m in request.messages if m.role == "system"])
        for key, group in self._groups.items():
            if group[0].fits(asked.content, system, len(asked.images)):
                self._used[key] += 1
                return group[(self._used[key] - 1) % len(group)]
        raise UpstreamError(f"the script has no turn for {asked.content!r}")

    def _chunks(self, turn: Turn, alternatives: int | None) -> list[Chunk]:
        """Thinking, text and calls, in the order in which models send them."""
        chunks: list[Chunk] = []
        if thought := turn.thinking:
            chunks.append(ThinkingDelta(thought, invented_logprobs(thought, alternatives)))
        chunks += [TextDelta(said, invented_logprobs(said, alternatives)) for said in turn.pieces]
        calls = [Call(call.id or self._call_id(), call.name, call.arguments) for call in turn.call]
        return [*chunks, CallsDelta(tuple(calls))] if calls else chunks

    def _call_id(self) -> str:
        self._calls += 1
        return f"call_{self._calls:08d}"


def _grouped(script: Script) -> dict[Conditions, list[Turn]]:
    """The turns by their conditions, in the order of the script; those without come last."""
    groups: dict[Conditions, list[Turn]] = {}
    for turn in script.turn:
        groups.setdefault(turn.conditions, []).append(turn)
    if ALWAYS in groups:
        groups[ALWAYS] = groups.pop(ALWAYS)
    return groups


def _question(request: ModelRequest) -> Message:
    if request.raw_prompt is not None:
        return Message(role="user", content=request.raw_prompt)
    asked = [message for message in request.messages if message.role == "user"]
    return asked[-1] if asked else Message(role="user", content="")
