"""Tools for models that have none: one schema-constrained "decide" request.

The model is asked for one JSON object that either names a tool with its
arguments or says that it wants to answer. llama.cpp and Ollama hold it to the
schema, so the shape is always right; what it chooses is the model's own skill
(models.md 3.3: report it, do not promise it).
"""

import re
from collections.abc import Sequence

import msgspec

from atoll.core.lenient import calls_in_text
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, Message, ToolSpec

_WORDS = re.compile(r"[^\W\d_]{4,}")

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


def informed(messages: Sequence[Message], call: Call, result: str) -> tuple[Message, ...]:
    """The conversation with a tool's result put before the last question.

    Models whose template knows no tools repeat a told call like a parrot; what
    stands in the question itself they use (tried with SmolLM2 135M).
    """
    at = max((n for n, message in enumerate(messages) if message.role == "user"), default=-1)
    fact = f"{call.name} says:\n{result}"
    if at < 0:
        return (*messages, Message(role="user", content=fact))
    asked = messages[at]
    told = msgspec.structs.replace(asked, content=f"{fact}\n\n{asked.content}")
    return (*messages[:at], told, *messages[at + 1 :])


def shortlist(question: str, tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
    """The tools whose name stands in the question, else all of them.

    A small model chooses little better than by chance (models.md 3.3), so what
    the person named plainly is not left to it.
    """
    asked = _stems(question)
    named = tuple(tool for tool in tools if asked & _stems(tool.name))
    return named or tuple(tools)


def _stems(text: str) -> frozenset[str]:
    """Words of more than three letters, without a plural s."""
    return frozenset(word.rstrip("s") for word in _WORDS.findall(text.lower()))
