"""Group E, rows 13, 14 and 16: the Anthropic dialect on /v1/messages."""

import msgspec

from atoll_conformance.answer import Answer, decoded
from atoll_conformance.e_openai import in_order
from atoll_conformance.native import called, user
from atoll_conformance.rows import Row
from atoll_conformance.server import NOPE, Server
from atoll_conformance.shapes_v1 import AnthropicFault, AnthropicMessage, BlockEvent
from atoll_conformance.verdict import expect, same

PATH = "/v1/messages"
MOST = 256
STEPS = (
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop"),
)
TOOL: dict[str, object] = {
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"unit": {"type": "string"}, "city": {"type": "string"}},
    },
}
"""The tool of the other dialects, as Anthropic spells it."""


async def _message(server: Server) -> None:
    came = await _asked(server, server.profile.hello)
    same("max_tokens" if came.usage.output_tokens >= MOST else "end_turn", came.stop_reason)
    expect(any(block.text for block in came.content), "a block of text", came.content)
    if await server.able("tools"):
        message = await _asked(server, server.profile.tool, tools=[TOOL])
        uses = [block for block in message.content if block.name and block.id]
        called(server.profile, uses, "".join(block.text for block in message.content))
        same("tool_use", message.stop_reason)


async def _asked(server: Server, prompt: str, **fields: object) -> AnthropicMessage:
    answer = await server.post(PATH, messages=user(prompt), max_tokens=MOST, **fields)
    return answer.ok().json(AnthropicMessage)


async def _stream(server: Server) -> None:
    deltas = await _deltas(server, server.profile.hello)
    expect(any(one.delta.text for one in deltas), "text_delta with text", deltas)
    if await server.able("tools"):
        deltas = await _deltas(server, server.profile.tool, tools=[TOOL])
        parts = [one.delta for one in deltas if one.delta.type == "input_json_delta"]
        called(server.profile, parts, "".join(one.delta.text for one in deltas))
        decoded("".join(part.partial_json for part in parts).encode(), dict[str, msgspec.Raw])


async def _deltas(server: Server, prompt: str, **fields: object) -> list[BlockEvent]:
    answer = await server.post(PATH, messages=user(prompt), max_tokens=MOST, stream=True, **fields)
    events = answer.events()
    names = [event.name for event in events]
    in_order(STEPS, names)
    same(STEPS[-1], names[-1])
    parts = [event.data for event in events if event.name == "content_block_delta"]
    return [decoded(part, BlockEvent) for part in parts]


async def _envelope(server: Server) -> None:
    _fault(await server.post(PATH, messages=user("hi")), 400, "invalid_request_error")
    nope = await server.post(PATH, model=NOPE, messages=user("hi"), max_tokens=MOST)
    _fault(nope, 404, "not_found_error")


def _fault(answer: Answer, status: int, type: str) -> None:
    error = answer.having(status).json(AnthropicFault).error
    same(type, error.type)
    expect(bool(error.message), "a message", answer.text)


MESSAGES = (
    Row("E13", "messages", "an Anthropic object, stop_reason end_turn and tool_use", _message),
    Row("E14", "messages stream", "message_start to message_stop, input_json_delta", _stream),
)
ENVELOPE = Row("E16", "Anthropic's error envelope", "type, error, request_id", _envelope)
