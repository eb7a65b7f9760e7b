"""Turns in Ollama's dialect, and the rules of ollama-api.md 1.4 that hold for all of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from atoll_conformance.answer import Answer, decoded
from atoll_conformance.profile import Profile
from atoll_conformance.server import Server
from atoll_conformance.shapes import (
    ChatChunk,
    Chunk,
    GenerateChunk,
    Person,
    Ps,
    PsModel,
    ToolCall,
)
from atoll_conformance.verdict import Skipped, expect, same

AnyChunk = TypeVar("AnyChunk", bound=Chunk)

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8Dwn4EIAAAs8gH+b7m2kAAAAABJRU5E"
    "rkJggg=="
)
"""A PNG of one red pixel."""
PERSON: dict[str, object] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
WEATHER: dict[str, object] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "city": {"type": "string"},
            },
            "required": ["unit", "city"],
        },
    },
}
NULLS = dict.fromkeys(
    (
        *("mirostat", "mirostat_eta", "mirostat_tau", "num_ctx", "num_gpu", "num_thread"),
        *("repeat_last_n", "repeat_penalty", "temperature", "stop", "tfs_z", "top_k", "top_p"),
    )
)
"""The 13 options that langchain-ollama sends, all null."""
STEADY: dict[str, object] = {"temperature": 0, "seed": 7}
"""Options with which a model says the same again."""


def user(prompt: str, **fields: object) -> list[dict[str, object]]:
    """A conversation of one message."""
    return [{"role": "user", "content": prompt, **fields}]


async def generate(server: Server, prompt: str, **fields: object) -> list[GenerateChunk]:
    """The lines of a streamed `/api/generate`, which are as they must be."""
    return streamed(await server.post("/api/generate", prompt=prompt, **fields), GenerateChunk)


async def generate_whole(server: Server, prompt: str, **fields: object) -> GenerateChunk:
    """The answer of `/api/generate` in one piece."""
    answer = await server.post("/api/generate", prompt=prompt, stream=False, **fields)
    return whole(answer, GenerateChunk)


async def chat(server: Server, prompt: str, **fields: object) -> list[ChatChunk]:
    """The lines of a streamed `/api/chat`, which are as they must be."""
    return streamed(await server.post("/api/chat", messages=user(prompt), **fields), ChatChunk)


def streamed(answer: Answer, shape: type[AnyChunk]) -> list[AnyChunk]:
    """The lines of a good stream: all `done: false` but the last, which says why it is done."""
    lines = answer.lines(shape)
    expect([line.done for line in lines][-1:] == [True], "a last line with done:true", answer.text)
    early = sum(line.done for line in lines) - 1
    expect(early == 0, "one line with done:true, the last", f"{early} before it: {answer.text}")
    expect(bool(lines[-1].done_reason), "done_reason in the last line", answer.text[-300:])
    return lines


def whole(answer: Answer, shape: type[AnyChunk]) -> AnyChunk:
    """An answer in one piece, which says why it is done."""
    chunk = answer.ok().json(shape)
    expect(chunk.done and bool(chunk.done_reason), "done:true and a done_reason", answer.text)
    return chunk


def said(chunks: Sequence[GenerateChunk] | Sequence[ChatChunk]) -> str:
    """The text of a stream; raises Wrong when there is none."""
    text = "".join(chunk.said for chunk in chunks)
    expect(bool(text.strip()), "some text", text or "none")
    return text


async def same_text(
    stream: Callable[[], Awaitable[str]], whole: Callable[[], Awaitable[str]]
) -> None:
    """Raise Wrong when an answer in one piece is another than two equal streams around it.

    Two that differ prove nothing: then chance plays a part even at temperature 0.
    """
    before, came, after = await stream(), await whole(), await stream()
    expect(came == after or before != after, f"{after!r}, as in the stream", came)


def loaded(answer: Answer, reason: str) -> None:
    """Raise Wrong unless it is the plain answer of a load or an unload."""
    body = answer.ok().json(Chunk)
    expect(body.done, "done:true", answer.text)
    same(reason, body.done_reason)


def obeyed(profile: Profile, text: str) -> None:
    """Raise Wrong unless the answer holds what the system prompt of the profile makes it say."""
    wanted = profile.system_says
    expect(wanted.lower() in text.lower(), f"an answer with {wanted!r}", text)


def metrics(chunk: Chunk) -> None:
    """Raise Wrong unless every metric is above 0 and the durations fit into their total."""
    counts = (chunk.prompt_eval_count, chunk.eval_count)
    parts = (chunk.load_duration, chunk.prompt_eval_duration, chunk.eval_duration)
    shown = f"{counts} {parts} of {chunk.total_duration}"
    expect(min(*counts, *parts, chunk.total_duration) > 0, "all six metrics above 0", shown)
    # A total below a microsecond was given in seconds or milliseconds.
    expect(chunk.total_duration >= 1000, "durations in nanoseconds", shown)


def thinking_first(chunks: Sequence[GenerateChunk] | Sequence[ChatChunk]) -> None:
    """Raise Wrong unless thinking comes, before the text, and not within it."""
    order = ["t" if chunk.thought else "s" for chunk in chunks if chunk.thought or chunk.said]
    expect("t" in order, "deltas of thinking", "none")
    expect(order == sorted(order, reverse=True), "all thinking before the text", "".join(order))
    expect("<think>" not in said(chunks), "no <think> in the text", said(chunks))


def person(text: str) -> None:
    """Raise Wrong unless the text is JSON of the schema PERSON."""
    decoded(text.encode(), Person)


def called(profile: Profile, calls: Sequence[object], text: str) -> None:
    """Raise Wrong when no tool was called, and Skipped when that may be the model's own choice.

    With `tool_keys` the profile says that its model calls; else one that talks instead may be
    no good at tools.
    """
    if not calls and text and not profile.tool_keys:
        raise Skipped("the model talked and called no tool: give prompts and `tool_keys`")
    expect(bool(calls), "a call of a tool", f"none; said: {text}")


def calls_of(profile: Profile, chunks: Sequence[ChatChunk]) -> list[ToolCall]:
    """The calls of a stream, none of which is in its last line."""
    expect(not chunks[-1].message.tool_calls, "tool calls before the done:true line", "calls in it")
    calling = [chunk for chunk in chunks if chunk.message.tool_calls]
    called(profile, calling, "".join(chunk.said for chunk in chunks))
    for chunk in calling:
        same("", chunk.said)
    return [call for chunk in calling for call in chunk.message.tool_calls]


async def in_ps(server: Server) -> PsModel | None:
    """The model's line in `/api/ps`, when it is loaded."""
    models = (await server.get("/api/ps")).ok().json(Ps).models
    full = server.full.lower()
    return next((model for model in models if model.name.lower() == full), None)
