"""Tools for models that have none: one schema-constrained "decide" request.

The model is asked for one JSON object that either names a tool with its
arguments or says that it wants to answer. llama.cpp and Ollama hold it to the
schema, so the shape is always right; what it chooses is the model's own skill
(models.md 3.3: report it, do not promise it).
"""

from collections.abc import Sequence

import msgspec

from atoll.core.lenient import calls_in_text
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, Message, ToolSpec

ANSWER = "answer"
"""The choice that means: no tool, answer the person."""


def decide_schema(tools: Sequence[ToolSpec]) -> JsonObject:
    """A JSON Schema of the choices: `answer` first, then one per tool."""
    choices: list[JsonValue] = [_choice(ANSWER, {"type": "object", "properties": {}})]
    choices += [_choice(tool.name, tool.parameters) for tool in tools]
    return {"anyOf": choices}


def _choice(name: str, parameters: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def decide_messages(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> tuple[Message, ...]:
    """The conversation with the choice put to the model as one more instruction."""
    lines = [f"- {ANSWER}: reply to the person without a tool"]
    lines += [f"- {tool.name}: {tool.description}" for tool in tools]
    text = (
        "Choose the next action for the last message. Actions:\n"
        + "\n".join(lines)
        + '\nReply with JSON only: {"name": <action>, "arguments": {...}}'
    )
    return (*messages, Message(role="system", content=text))


def decided(text: str, tools: Sequence[ToolSpec], next_id: int) -> Call | None:
    """The call the model chose, or None when it chose to answer or nothing readable."""
    calls = calls_in_text(text, {tool.name for tool in tools}, next_id)
    return calls[0] if calls else None


def spoken(call: Call, result: str) -> tuple[Message, Message]:
    """A call and its result as plain messages, for templates that know no tool role."""
    arguments = msgspec.json.encode(call.arguments).decode()
    return (
        Message(role="assistant", content=f"I used {call.name} with {arguments}."),
        Message(role="user", content=f"{call.name} returned:\n{result}\nNow answer me with that."),
    )
