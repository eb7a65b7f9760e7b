"""Fakes of the ports: a model that says what it is told, a clock that stands still."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from atoll.config.manifest import Manifest
from atoll.core.budget import Allowance
from atoll.core.hops import Hop
from atoll.core.papers import Journey
from atoll.errors import AtollError
from atoll.loop.errand import Errand
from atoll.loop.ledger import Ledger
from atoll.ports import (
    Chunk,
    Clock,
    Done,
    Embedded,
    EmbedRequest,
    ModelInfo,
    ModelRequest,
    Outcome,
    TextDelta,
)
from atoll.wire.messages import Call, ToolSpec, Usage

USAGE = Usage(prompt_tokens=7, completion_tokens=3, load_ns=1, prompt_ns=20, completion_ns=30)


def text(*pieces: str) -> list[Chunk]:
    """A whole reply made of these pieces of text."""
    return [*(TextDelta(piece) for piece in pieces), Done("stop", USAGE)]


class FakeClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.ns = 1_000
        self.epoch = 1_800_000_000.0

    def monotonic_ns(self) -> int:
        return self.ns

    def now(self) -> float:
        return self.epoch


def errand(
    manifest: Manifest, clock: Clock, came: Journey | None = None, left: int | None = None
) -> Errand:
    """What a turn of this agent has for its tools."""
    given = came.allowance if came is not None else Allowance()
    return Errand(Ledger(manifest.budget, clock, given, left), came, Hop("otto", "00000000"))


class FakeModel:
    """Answers each call with the next of `replies`; keeps every request it got."""

    def __init__(self, *replies: list[Chunk] | AtollError, info: ModelInfo | None = None) -> None:
        self.replies = list(replies)
        self.requests: list[ModelRequest] = []
        self.closed_early = 0
        self.embeds: list[EmbedRequest] = []
        self.embedded: Embedded | AtollError = Embedded(vectors=((3.0, 4.0),), prompt_tokens=5)
        self.down: AtollError | None = None
        self.pings = 0
        self.gate: asyncio.Event | None = None
        self.info = info or ModelInfo(backend="scripted", model="fake", context_length=2048)

    async def describe(self) -> ModelInfo:
        return self.info

    async def ping(self) -> None:
        self.pings += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down is not None:
            raise self.down

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, AtollError):
            raise reply
        try:
            for chunk in reply:
                yield chunk
        except GeneratorExit:
            self.closed_early += 1
            raise

    async def embed(self, request: EmbedRequest) -> Embedded:
        self.embeds.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.embedded, AtollError):
            raise self.embedded
        return self.embedded

    async def close(self) -> None:
        return None


class FakeTools:
    """A toolbox whose tools answer what the test says."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.calls: list[Call] = []
        self.troubles: tuple[str, ...] = ()

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return [ToolSpec(name, f"the {name} tool", {"type": "object"}) for name in self.answers]

    @property
    def warnings(self) -> Sequence[str]:
        return self.troubles

    async def close(self) -> None:
        return None

    async def call(self, call: Call) -> Outcome:
        self.calls.append(call)
        answer = self.answers.get(call.name)
        return Outcome(answer or f"no tool {call.name}", failed=answer is None)
