"""Tool calls that a model wrote as text, and telling early that it might be doing so.

Small models know tools but not their wire format: they write the call as bare
JSON, in a fenced block or in `<tool_call>` marks (models.md 3.3). Only names of
known tools count; anything else is ordinary text.
"""

import re
from collections.abc import Collection

import msgspec

from atoll.wire.halves import whole
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call

_MARKS = ("{", "[", "```", "<tool_call>")
_BLOCK = re.compile(r"```(?:json|tool_call)?\s*(.*?)```|<tool_call>(.*?)</tool_call>", re.DOTALL)


def may_be_call(text: str) -> bool:
    """Whether `text`, the beginning of an answer, could still turn out to be a tool call."""
    start = text.lstrip()
    return any(start.startswith(mark) or mark.startswith(start) for mark in _MARKS)


def calls_in_text(text: str, known: Collection[str], next_id: int) -> tuple[Call, ...]:
    """The calls of known tools that `text` consists of; ids count on from `next_id`."""
    blocks = [a or b for a, b in _BLOCK.findall(text)] or [text]
    found = [call for block in blocks for call in _calls(_decode(block), known)]
    return tuple(
        Call(f"call_{next_id + index:08d}", name, arguments)
        for index, (name, arguments) in enumerate(found)
    )


def _decode(text: str) -> JsonValue:
    value: JsonValue = None
    try:
        value = msgspec.json.decode(whole(text.strip().encode()))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        value = None
    return value


def _calls(value: JsonValue, known: Collection[str]) -> list[tuple[str, JsonObject]]:
    match value:
        case list():
            return [call for item in value for call in _calls(item, known)]
        case {"function": dict() as function}:
            return _calls(function, known)
        case dict():
            return _call(value, known)
        case _:
            return []


def _call(value: JsonObject, known: Collection[str]) -> list[tuple[str, JsonObject]]:
    name = value.get("name")
    if not isinstance(name, str) or name not in known:
        return []
    return [(name, _arguments(value.get("arguments", value.get("parameters"))))]


def _arguments(value: JsonValue) -> JsonObject:
    if isinstance(value, str):
        value = _decode(value)
    return value if isinstance(value, dict) else {}
