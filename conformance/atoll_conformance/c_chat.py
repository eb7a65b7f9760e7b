"""Group C: /api/chat."""

import asyncio

import msgspec
from msgspec import Struct

from atoll_conformance.answer import decoded
from atoll_conformance.native import (
    PERSON,
    PIXEL,
    STEADY,
    WEATHER,
    calls_of,
    chat,
    loaded,
    metrics,
    obeyed,
    person,
    said,
    same_text,
    streamed,
    thinking_first,
    user,
    whole,
)
from atoll_conformance.profile import Watch
from atoll_conformance.rows import Row
from atoll_conformance.server import Server
from atoll_conformance.shapes import ChatChunk
from atoll_conformance.verdict import Skipped, Wrong, expect, same

PATH = "/api/chat"
LINE = 8 * 1024 * 1024
"""Bytes of the longest line that Ollama's Go client reads."""


class _Keys(Struct, frozen=True):
    """Chunks as maps, to see which keys are there."""

    message: dict[str, msgspec.Raw]


async def _order(server: Server) -> None:
    answer = await server.post(PATH, messages=user(server.profile.hello))
    lines = streamed(answer, ChatChunk)
    said(lines[:-1])
    metrics(lines[-1])
    bare = [line for line in answer.lines(_Keys) if "content" not in line.message]
    expect(not bare, "message.content in every line", bare)


async def _whole(server: Server) -> None:
    asked = {"messages": user(server.profile.hello), "options": STEADY}

    async def in_one() -> str:
        answer = await server.post(PATH, **asked, stream=False)
        return said([whole(answer.utf8(), ChatChunk)])

    async def streaming() -> str:
        return said(streamed(await server.post(PATH, **asked), ChatChunk))

    await same_text(streaming, in_one)


async def _roles(server: Server) -> None:
    """A prompt of other roles would have other tokens: as many are evidence of the same prompt."""
    given = await _played(server, "SYSTEM", "narrator", "User")
    obeyed(server.profile, given.said)
    lower = await _played(server, "system", "narrator", "user")
    same(lower.prompt_eval_count, given.prompt_eval_count)


async def _played(server: Server, *roles: str) -> ChatChunk:
    """The answer to a system prompt, something of an unknown role, and a question."""
    texts = (server.profile.system, "It is late.", server.profile.hello)
    pairs = zip(roles, texts, strict=True)
    messages = [{"role": role, "content": text} for role, text in pairs]
    came = whole(await server.post(PATH, messages=messages, stream=False), ChatChunk)
    same("assistant", came.message.role)
    said([came])
    return came


async def _tool_call(server: Server) -> None:
    await server.needs("tools")
    profile = server.profile
    lines = await chat(server, profile.tool, tools=[WEATHER])
    call = calls_of(profile, lines)[0]
    same("stop", lines[-1].done_reason)
    same("get_weather", call.function.name)
    if profile.tool_keys:
        same(profile.tool_keys, tuple(call.function.arguments))


async def _tool_result(server: Server) -> None:
    await server.needs("tools")
    call = {
        "id": "call_a1b2c3d4",
        "function": {
            "index": 0,
            "name": "get_weather",
            "arguments": {"unit": "celsius", "city": "Turku"},
        },
    }
    for named in ({"tool_name": "get_weather"}, {"tool_call_id": "call_a1b2c3d4"}):
        messages = [
            *user(server.profile.after_tool),
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "21 degrees and sunny", **named},
        ]
        answer = await server.post(PATH, messages=messages, tools=[WEATHER], stream=False)
        said([whole(answer, ChatChunk)])


async def _parallel(server: Server) -> None:
    await server.needs("tools")
    lines = await chat(server, server.profile.tools, tools=[WEATHER])
    calls = calls_of(server.profile, lines)
    if len(calls) < 2 and not server.profile.tool_keys:
        raise Skipped("the model called one tool only: give a prompt in `tools` of a profile")
    expect(len(calls) > 1, "several calls", len(calls))
    same(list(range(len(calls))), [call.function.index for call in calls])
    same(len(calls), len({call.id for call in calls}))


async def _no_tools(server: Server) -> None:
    said(await chat(server, server.profile.hello, tools=[]))


async def _thinking(server: Server) -> None:
    await server.needs("thinking")
    thinking_first(await chat(server, server.profile.think, think=True))


async def _no_thinking(server: Server) -> None:
    said(await chat(server, server.profile.hello, think=False))


async def _schema(server: Server) -> None:
    ways = (False, True) if await server.able("thinking") else (False,)
    for think in ways:
        lines = await chat(server, server.profile.person, format=PERSON, think=think)
        person(said(lines))


async def _images(server: Server) -> None:
    profile = server.profile
    messages = user(profile.image, images=[PIXEL])
    answer = await server.post(PATH, messages=messages, stream=False)
    if not await server.able("vision"):
        answer.error(400)
        return
    came = whole(answer, ChatChunk).said
    expect(profile.image_says in came, f"an answer with {profile.image_says!r}", came)


async def _load(server: Server) -> None:
    loaded(await server.post(PATH), "load")
    loaded(await server.post(PATH, messages=[]), "load")


async def _unload(server: Server) -> None:
    loaded(await server.post(PATH, keep_alive=0), "unload")
    loaded(await server.post(PATH, messages=[], keep_alive=0), "unload")


async def _disconnect(server: Server) -> None:
    watch = server.profile.watch
    if watch is None:
        raise Skipped("a profile must say where the server tells its running turns: table `watch`")
    async with server.open(PATH, messages=user(server.profile.slow)) as came:
        pieces = came.aiter_bytes()  # kept: httpx closes the connection when it is dropped
        await anext(pieces)
        expect(await _working(server, watch) > 0, f"{watch.field} above 0 in the stream", 0)
    await _idle(server, watch)


async def _working(server: Server, watch: Watch) -> int:
    values = (await server.get(watch.path)).ok().json(dict[str, msgspec.Raw])
    if watch.field not in values:
        raise Wrong(f"the profile's {watch.field!r} in {watch.path}", list(values))
    return decoded(bytes(values[watch.field]), int)


async def _idle(server: Server, watch: Watch) -> None:
    try:
        async with asyncio.timeout(watch.within):
            while True:
                if not await _working(server, watch):
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Wrong(f"cancelled within {watch.within:g} s", "the turn goes on") from None


async def _long_line(server: Server) -> None:
    prompt = server.cue("big", server.profile.big)
    answer = await server.post(PATH, messages=user(prompt))
    said(streamed(answer, ChatChunk))
    longest = max(map(len, answer.body.splitlines()))
    expect(longest < LINE, "no line of 8 MiB", f"a line of {longest} bytes")


async def _characters(server: Server) -> None:
    """A replacement character is the server's fault, unless the model says it in one piece too."""
    asked = {"messages": user(server.profile.split), "options": STEADY}
    text = said(streamed(await server.post(PATH, **asked), ChatChunk))
    if server.profile.split_text:
        same(server.profile.split_text, text)
    elif "\N{REPLACEMENT CHARACTER}" in text:
        whole_text = said([whole(await server.post(PATH, **asked, stream=False), ChatChunk)])
        expect(text == whole_text, "whole characters", text)


async def _names(server: Server) -> None:
    bare = server.full.removesuffix(":latest")
    for name in {bare, server.full, bare.upper()}:
        answer = await server.post(PATH, model=name, messages=user(server.profile.hello))
        for line in streamed(answer, ChatChunk):
            same(name, line.model)


async def _created(server: Server) -> None:
    """The shape of a chunk refuses everything but RFC 3339 with a zone."""
    await chat(server, server.profile.hello)


async def _length(server: Server) -> None:
    lines = await chat(server, server.profile.length, options={"num_predict": 3})
    same("length", lines[-1].done_reason)


async def _unknown_fields(server: Server) -> None:
    said(await chat(server, server.profile.hello, no_such_field={"a": [1]}, num_ctx=2048))


ROWS = (
    Row("C1", "stream order", "done:false with content, then one done:true with metrics", _order),
    Row("C2", "stream:false", "one object, the stream's text", _whole),
    Row("C3", "roles User, SYSTEM, an unknown one", "accepted; as in lower case", _roles),
    Row("C4", "tool call", "a chunk of its own: id, index, an object; then stop", _tool_call),
    Row("C5", "tool result", "tool_name and tool_call_id are understood", _tool_result),
    Row("C6", "parallel tools", "index 0..n, distinct ids", _parallel),
    Row("C7", "tools []", "as if absent", _no_tools),
    Row("C8", "thinking", "in message.thinking before the content", _thinking),
    Row("C9", "think:false", "200", _no_thinking),
    Row("C10", "format = schema", "valid, also with thinking", _schema),
    Row("C11", "images", "reach a model with `vision`, else 400", _images),
    Row("C12", "no messages", "done_reason load, plain JSON", _load),
    Row("C13", "no messages, keep_alive 0", "done_reason unload, plain JSON", _unload),
    Row("C14", "client leaves in mid-stream", "the turn is cancelled within 1 s", _disconnect),
    Row("C15", "a line near 8 MiB", "no longer line is sent", _long_line),
    Row("C16", "multi-byte characters", "valid UTF-8 in every line, exact in sum", _characters),
    Row("C17", "x, x:latest, X", "the same model; the name is echoed", _names),
    Row("C18", "created_at", "RFC 3339 with zone in every chunk", _created),
    Row("C19", "num_predict reached", "done_reason length", _length),
    Row("C20", "unknown fields", "ignored", _unknown_fields),
)
