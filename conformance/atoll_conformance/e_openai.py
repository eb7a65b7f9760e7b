"""Group E, rows 1 to 12 and 15: the OpenAI dialect on /v1."""

import base64

import msgspec

from atoll_conformance.answer import Answer, Event, decoded
from atoll_conformance.native import WEATHER, called, user
from atoll_conformance.rows import Row
from atoll_conformance.server import NOPE, Server
from atoll_conformance.shapes_v1 import (
    Base64s,
    ChatChunk,
    Completed,
    Completion,
    Floats,
    ModelList,
    ModelObject,
    OpenAIFault,
    Response,
    Text,
    ToolCall,
)
from atoll_conformance.verdict import Skipped, Wrong, expect, same

CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES = "/v1/responses"
STEPS = (
    *("response.created", "response.in_progress", "response.output_item.added"),
    *("response.content_part.added", "response.output_text.delta", "response.output_text.done"),
    *("response.content_part.done", "response.output_item.done", "response.completed"),
)
"""The events of a stream of text, in this order; others may come between them."""


async def _models(server: Server) -> None:
    models = (await server.get("/v1/models")).ok().json(ModelList).data
    expect(bool(models), "a model", "none")
    same(["library"] * len(models), [model.owned_by for model in models])


async def _model(server: Server) -> None:
    (await server.get(f"/v1/models/{server.model}")).ok().json(ModelObject)
    fault(await server.get(f"/v1/models/{NOPE}"), 404, "not_found_error")


async def _chat(server: Server) -> None:
    came = (await server.post(CHAT, messages=user(server.profile.hello))).ok().json(Completion)
    expect(bool(came.choices[0].message.content), "some text", came)
    same("stop", came.choices[0].finish_reason)


async def chunks_of(server: Server, prompt: str, **fields: object) -> list[ChatChunk]:
    """The chunks of a stream that ends in [DONE], of one id and one time."""
    answer = await server.post(CHAT, messages=user(prompt), stream=True, **fields)
    chunks = [decoded(event.data, ChatChunk) for event in undone(answer.events())]
    expect(bool(chunks), "chunks before [DONE]", answer.text)
    same(1, len({(chunk.id, chunk.created) for chunk in chunks}))
    return chunks


def undone(events: list[Event]) -> list[Event]:
    """The events before [DONE], which must be the last and the only one."""
    last = events[-1].data if events else b""
    expect(last == b"[DONE]", "data: [DONE] at the end", last)
    return events[:-1]


async def _stream(server: Server) -> None:
    chunks = await chunks_of(server, server.profile.hello)
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    roles = [choice.delta.role for choice in choices if choice.delta.role]
    expect(roles == ["assistant"], "delta.role once, in the first chunk", roles)
    expect(choices[0].delta.role == "assistant", "the role in the first chunk", choices[0])
    expect(any(choice.delta.content for choice in choices), "some text", "none")
    same("stop", choices[-1].finish_reason)


async def _usage(server: Server) -> None:
    asked = {"stream_options": {"include_usage": True}}
    chunks = await chunks_of(server, server.profile.hello, **asked)
    bare = [chunk for chunk in chunks if not chunk.choices]
    expect(bare == chunks[-1:], "one chunk with choices [], the last", bare)
    expect(bare[0].usage is not None, "usage in it", bare[0])
    without = await chunks_of(server, server.profile.hello)
    expect(not any(chunk.usage for chunk in without), "no usage without the option", "usage")


async def _tools(server: Server) -> None:
    await server.needs("tools")
    asked = {"tools": [WEATHER], "tool_choice": "auto"}
    answer = await server.post(CHAT, messages=user(server.profile.tool), **asked)
    choice = answer.ok().json(Completion).choices[0]
    called(server.profile, choice.message.tool_calls, choice.message.content or "")
    same("tool_calls", choice.finish_reason)
    arguments_of(choice.message.tool_calls)


def arguments_of(calls: list[ToolCall]) -> None:
    """Raise Wrong unless every call has an id and its arguments are an object in a string."""
    for call in calls:
        expect(bool(call.id), "an id", call)
        decoded(call.function.arguments.encode(), dict[str, msgspec.Raw])


async def _parallel(server: Server) -> None:
    await server.needs("tools")
    chunks = await chunks_of(server, server.profile.tools, tools=[WEATHER])
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls]
    called(server.profile, calls, "".join(delta.content or "" for delta in deltas))
    indexes = {call.index for call in calls}
    ids = {n: {call.id for call in calls if call.index == n and call.id} for n in indexes}
    if len(calls) == 1 and not server.profile.tool_keys:
        raise Skipped("the model called one tool only: give a prompt in `tools` of a profile")
    expect(len(ids) > 1, "several indexes", sorted(ids))
    same(list(range(len(ids))), sorted(ids))
    same([1] * len(ids), [len(found) for found in ids.values()])
    same("tool_calls", chunks_end(chunks))


def chunks_end(chunks: list[ChatChunk]) -> str | None:
    """The last finish_reason of a stream."""
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return next(filter(None, reversed(reasons)), None)


async def embedder(server: Server) -> str:
    """The model that can embed; raises Skipped where there is none."""
    if not server.profile.embedding_model:
        await server.needs("embedding")
    return server.profile.embedding_model or server.model


async def _floats(server: Server) -> None:
    model = await embedder(server)
    asked = {"input": ["one", "two"], "encoding_format": "float"}
    data = (await server.post(EMBED, model=model, **asked)).ok().json(Floats).data
    same([0, 1], [vector.index for vector in data])


async def _base64(server: Server) -> None:
    model = await embedder(server)
    floats = (await server.post(EMBED, model=model, input="one")).ok().json(Floats)
    asked = {"input": "one", "encoding_format": "base64"}
    coded = (await server.post(EMBED, model=model, **asked)).ok().json(Base64s)
    raw = base64.b64decode(coded.data[0].embedding)
    same(4 * len(floats.data[0].embedding), len(raw))
    bad = await server.post(EMBED, model=model, input="one", encoding_format="nonsense")
    fault(bad, 400, "invalid_request_error")


async def _text(server: Server) -> None:
    asked = {"prompt": server.profile.hello}
    whole = (await server.post(TEXT, **asked)).ok().json(Text)
    expect(bool(whole.usage and whole.choices[0].text), "text and usage", whole)
    answer = await server.post(TEXT, stream=True, **asked)
    parts = [decoded(event.data, Text) for event in undone(answer.events())]
    text = "".join(choice.text for part in parts for choice in part.choices)
    expect(bool(text), "some text in the stream", answer.text)


async def _responses(server: Server) -> None:
    came = (await server.post(RESPONSES, input=server.profile.hello)).ok().json(Response)
    types = [item.type for item in came.output]
    expect("message" in types, "an item of type message", types)


async def _responses_stream(server: Server) -> None:
    answer = await server.post(RESPONSES, input=server.profile.hello, stream=True)
    events = [event for event in answer.events() if event.data != b"[DONE]"]
    names = [event.name for event in events]
    in_order(STEPS, names)
    expect(names[-1] == STEPS[-1], f"{STEPS[-1]} last", names[-1])
    decoded(events[-1].data, Completed)


def in_order(steps: tuple[str, ...], names: list[str]) -> None:
    """Raise Wrong unless every step is among the names, and they first come in this order."""
    places = [names.index(step) if step in names else -1 for step in steps]
    if -1 in places or places != sorted(places):
        raise Wrong(" ".join(steps), " ".join(dict.fromkeys(names)))


def fault(answer: Answer, status: int, type: str) -> str:
    """The message of OpenAI's envelope with this status; raises Wrong when it is another."""
    error = answer.having(status).json(OpenAIFault).error
    same(type, error.type)
    return error.message


async def _envelope(server: Server) -> None:
    empty = await server.post(CHAT, messages=[])
    same("[] is too short - 'messages'", fault(empty, 400, "invalid_request_error"))
    fault(await server.ask("POST", CHAT, b"{"), 400, "invalid_request_error")
    nope = await server.post(CHAT, model=NOPE, messages=user("hi"))
    fault(nope, 404, "not_found_error")


OPENAI = (
    Row("E1", "GET /v1/models", 'a list, data an array, owned_by "library"', _models),
    Row("E2", "GET /v1/models/x and /nope", "the model; 404 in an envelope", _model),
    Row("E3", "chat/completions", "an OpenAI object with usage", _chat),
    Row("E4", "chat/completions stream", "role once, one id and time, finish, [DONE]", _stream),
    Row("E5", "include_usage", "a chunk with choices [] and usage, only when asked", _usage),
    Row("E6", "tool calls", "arguments a string, finish_reason tool_calls", _tools),
    Row("E7", "parallel tool calls in a stream", "index 0..n, ids constant", _parallel),
    Row("E8", "embeddings float", "lists of floats", _floats),
    Row("E9", "embeddings base64", "float32 in base64; another format 400", _base64),
    Row("E10", "completions", "text_completion, plain and SSE", _text),
    Row("E11", "responses", "a stateless answer with usage", _responses),
    Row("E12", "responses stream", "the events in order, completed last", _responses_stream),
)
ENVELOPE = Row("E15", "OpenAI's error envelope", "message, type, param, code; by status", _envelope)
