"""Small helpers for tests of model back ends."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from atoll.ports import CallsDelta, Chunk, Done, Model, ModelRequest, TextDelta, ThinkingDelta
from atoll.wire.events import Emit, Event
from atoll.wire.json import JsonValue
from atoll.wire.messages import Call, Message


def ask(text: str = "hello", **fields: JsonValue) -> ModelRequest:
    """A request with one user message."""
    return ModelRequest(messages=(Message(role="user", content=text),), **fields)


async def collect(model: Model, request: ModelRequest) -> list[Chunk]:
    """Every chunk of one generation."""
    async with aclosing(model.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


async def told_by(run: Callable[[Emit], Awaitable[None]]) -> list[Event]:
    """Every event of one turn."""
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    await run(emit)
    return events


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def thinking_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))


def calls_of(chunks: list[Chunk]) -> list[Call]:
    return [call for chunk in chunks if isinstance(chunk, CallsDelta) for call in chunk.calls]


def done_of(chunks: list[Chunk]) -> Done:
    """The end, which must be there once and last."""
    assert [chunk for chunk in chunks if isinstance(chunk, Done)] == chunks[-1:]
    assert isinstance(chunks[-1], Done)
    return chunks[-1]
