"""The tools that clients offer: Ollama took their shape from OpenAI, so there is one."""

from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll.wire.messages import ToolSpec


class ToolFunction(Struct):
    """A tool that the client offers."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None


class ToolIn(Struct):
    """Its wrapper."""

    function: ToolFunction


def tool_specs(tools: list[ToolIn] | None) -> tuple[ToolSpec, ...]:
    """The tools as the loop knows them."""
    return tuple(map(_spec, tools or ()))


def _spec(tool: ToolIn) -> ToolSpec:
    function = tool.function
    parameters = function.parameters or {"type": "object", "properties": {}}
    return ToolSpec(function.name, function.description or "", parameters)
