"""Names of tools on a wire that allows letters, digits, `_` and `-` alone, at most 64.

OpenAI refuses a whole request for one other character, and a tool of an MCP
server is called `server.tool` here (DESIGN section 11): there it is `server__tool`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from atoll.ports import ModelRequest
from atoll.wire.messages import Call, Message

MOST = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def wire_name(name: str) -> str:
    """The name as such a wire takes it; what is too long ends with a hash of the whole name."""
    made = _FOREIGN.sub("_", name.replace(".", "__"))
    return made if len(made) <= MOST else _marked(name, made)


def wire_names(names: Iterable[str]) -> Mapping[str, str]:
    """Each name by its name on the wire; of two that would be the same the later gets a hash."""
    found: dict[str, str] = {}
    for name in names:
        made = wire_name(name)
        found[_marked(name, made) if made in found else made] = name
    return found


def on_wire(request: ModelRequest) -> ModelRequest:
    """The request with such names, in its tools and in the calls that were made before."""
    made = {name: wire for wire, name in wire_names(tool.name for tool in request.tools).items()}
    tools = tuple(msgspec.structs.replace(tool, name=made[tool.name]) for tool in request.tools)
    messages = tuple(_renamed(message, made) for message in request.messages)
    return msgspec.structs.replace(request, tools=tools, messages=messages)


def off_wire(calls: Iterable[Call], request: ModelRequest) -> tuple[Call, ...]:
    """The calls with the names that the request's tools have here; a made-up name stays."""
    names = wire_names(tool.name for tool in request.tools)
    return tuple(Call(call.id, names.get(call.name, call.name), call.arguments) for call in calls)


def _renamed(message: Message, made: Mapping[str, str]) -> Message:
    if not message.calls and not message.tool_name:
        return message
    calls = tuple(Call(call.id, _made(call.name, made), call.arguments) for call in message.calls)
    answered = _made(message.tool_name, made)
    return msgspec.structs.replace(message, calls=calls, tool_name=answered)


def _made(name: str, made: Mapping[str, str]) -> str:
    return made.get(name) or wire_name(name)


def _marked(name: str, made: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{made[: MOST - 9]}_{digest}"
