"""How the demo back end picks a tool: by its name or by words in common."""

import re
from collections.abc import Callable

from atoll.adapters.arithmetic import sum_in
from atoll.adapters.instance import instance_of
from atoll.ports import ModelRequest
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, ToolSpec

ENOUGH = 2
"""Words that a question has to share with a tool."""
SHORT = 3
"""Words up to this length say nothing about a tool."""

_WORDS = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r"[\"'“‘`]([^\"'“”‘’`]+)[\"'”’`]")  # noqa: RUF001  people type curly quotes
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
_COMMON = frozenset(
    {"about", "does", "from", "have", "into", "many", "much", "give", "please", "return"}
    | {"tell", "that", "the", "this", "what", "when", "where", "which", "with", "your", "answer"}
)


def call_for(request: ModelRequest, new_id: Callable[[], str]) -> Call | None:
    """The call that the last message asks for; none after a result, and none for a sum."""
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user" or not request.tools or request.format is not None:
        return None
    tool = _named(last.content, request.tools) or _meant(last.content, request.tools)
    return Call(new_id(), tool.name, arguments_for(tool, last.content)) if tool else None


def _named(text: str, tools: tuple[ToolSpec, ...]) -> ToolSpec | None:
    """The tool with the longest name that stands in the text, spelled with _, - or spaces."""
    plain = f" {' '.join(_WORDS.findall(text.lower()))} "
    found = [t for t in tools if f" {' '.join(_WORDS.findall(t.name.lower()))} " in plain]
    return max((t for t in found if _is_telling(t.name, text)), key=_length, default=None)


def _is_telling(name: str, text: str) -> bool:
    """A name of one everyday word ("time") counts only when it is written as it is."""
    return name in text or len(_WORDS.findall(name)) > 1


def _length(tool: ToolSpec) -> int:
    return len(tool.name)


def _meant(text: str, tools: tuple[ToolSpec, ...]) -> ToolSpec | None:
    """The tool that shares most words with the text, when they are enough."""
    if sum_in(text):
        return None
    asked = _stems(text)
    best = max(tools, key=lambda tool: len(asked & _stems(f"{tool.name} {tool.description}")))
    shared = asked & _stems(f"{best.name} {best.description}")
    return best if len(shared) >= ENOUGH or shared & _stems(best.name) else None


def _stems(text: str) -> frozenset[str]:
    """Telling words, without a plural s."""
    words = (word.rstrip("s") for word in _WORDS.findall(text.lower()) if len(word) > SHORT)
    return frozenset(word for word in words if word not in _COMMON)


def arguments_for(tool: ToolSpec, text: str) -> JsonObject:
    """Required parameters filled from the text: numbers and quotations in order, else all of it."""
    made = instance_of(tool.parameters, text.strip())
    arguments = made if isinstance(made, dict) else {}
    properties = tool.parameters.get("properties")
    schemas = properties if isinstance(properties, dict) else {}
    numbers, quoted = _NUMBERS.findall(text), _QUOTED.findall(text)
    for name in arguments:
        arguments[name] = _filled(schemas.get(name), arguments[name], numbers, quoted)
    return arguments


def _filled(schema: JsonValue, made: JsonValue, numbers: list[str], quoted: list[str]) -> JsonValue:
    """A better value than the made one, if the text has one; takes it from the list."""
    if not isinstance(schema, dict) or "enum" in schema or "const" in schema:
        return made
    match schema.get("type"):
        case "integer" if numbers:
            return int(float(numbers.pop(0)))
        case "number" if numbers:
            return float(numbers.pop(0))
        case "string" if quoted:
            return quoted.pop(0)
        case _:
            return made
