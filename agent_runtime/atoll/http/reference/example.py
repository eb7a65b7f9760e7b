"""An operation of an OpenAPI document as a command that can be tried. Pure."""

import re
import shlex
from urllib.parse import quote

import msgspec

from atoll.wire.json import JsonObject, JsonValue

_SHOWN = {
    "agents": '-H "Authorization: Bearer $ATOLL_AGENT_TOKEN"',
    "bearer": '-H "Authorization: Bearer $(atoll token show)"',
}
"""How the token of a security scheme is shown."""


def curl(base: str, path: str, method: str, operation: JsonObject) -> str:
    """The command for an operation that is served at `base`, made of the document's examples."""
    words = ["curl", *([] if method == "get" else ["-X", method.upper()])]
    words += _token(operation)
    if (body := body_of(operation)) is not None:
        text = msgspec.json.encode(body).decode()
        words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(text)]
    return " ".join((*words, shlex.quote(base + place_of(path, operation))))


def place_of(path: str, operation: JsonObject) -> str:
    """The path and query of an operation's examples."""
    examples = {
        (str(one["in"]), str(one["name"])): quote(str(one["example"]), safe="/")
        for one in _objects(operation.get("parameters"))
        if "example" in one
    }
    filled = re.sub(r"\{(\w+)\}", lambda found: examples["path", found[1]], path)
    query = "&".join(f"{name}={text}" for (at, name), text in examples.items() if at == "query")
    return f"{filled}?{query}" if query else filled


def body_of(operation: JsonObject) -> JsonValue:
    """The example of the JSON that an operation takes, None when it takes none."""
    taken = operation.get("requestBody")
    content = taken.get("content") if isinstance(taken, dict) else None
    media = content.get("application/json") if isinstance(content, dict) else None
    return media.get("example") if isinstance(media, dict) else None


def _token(operation: JsonObject) -> list[str]:
    wanted = _objects(operation.get("security"))
    return [_SHOWN[scheme] for scheme in (wanted[0] if wanted else ())]


def _objects(value: JsonValue) -> list[JsonObject]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
