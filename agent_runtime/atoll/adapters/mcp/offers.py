"""What a server says of its tools, made fit for a model (attacks.md S44).

Text is cut and freed of characters that nobody sees; a schema must be of a sane
size and must not point to another place, which some back end could fetch.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import msgspec
from mcp_types import Tool

from atoll.adapters.mcp.pins import Offer
from atoll.wire.json import JsonObject, JsonValue

MOST_TOOLS = 256
"""Of one server; a model chooses badly long before."""
MOST_DESCRIPTION = 2_000
"""Characters."""
MOST_SCHEMA = 32_768
"""Bytes of a schema as JSON."""
MOST_DEPTH = 32
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
"""The MCP specification's own rule (2025-11-25 and later)."""


class Unfit(Exception):
    """A tool that no model may see, with the reason."""


def offers_of(tools: Sequence[Tool]) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """The tools that are fit, and a sentence for each that is not."""
    found: dict[str, Offer] = {}
    told = [f"offers {len(tools)} tools; the first {MOST_TOOLS} are used"]
    told = told if len(tools) > MOST_TOOLS else []
    for tool in tools[:MOST_TOOLS]:
        try:
            offer = _offer(tool)
            if offer.name in found:
                raise Unfit("another one has its name")
            found[offer.name] = offer
        except Unfit as unfit:
            told.append(f"its tool {clean(tool.name)[:64]!r} is left out: {unfit}")
    return tuple(found.values()), tuple(told)


def clean(text: str) -> str:
    """The text without control, format, private and unassigned characters, but with line ends."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")


def _offer(tool: Tool) -> Offer:
    if not _NAME.fullmatch(tool.name):
        raise Unfit("a tool's name has 1 to 128 letters, digits and _ . / -")
    whole = tool.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
    schema = msgspec.convert(whole["inputSchema"], JsonObject)
    if len(msgspec.json.encode(schema)) > MOST_SCHEMA:
        raise Unfit(f"its schema has over {MOST_SCHEMA} bytes")
    if schema.get("type", "object") != "object":
        raise Unfit("its arguments are no object")
    parameters = {"type": "object", **_cleaned(schema)}
    digest = hashlib.sha256(msgspec.json.encode(whole, order="sorted")).hexdigest()
    return Offer(tool.name, _description(tool), parameters, digest)


def _description(tool: Tool) -> str:
    text = clean(tool.description or tool.title or tool.name).strip()
    return text if len(text) <= MOST_DESCRIPTION else f"{text[:MOST_DESCRIPTION]} [cut]"


def _cleaned(schema: JsonObject, depth: int = 1) -> JsonObject:
    """The schema with clean words; raises Unfit for one that is too deep or points elsewhere."""
    if depth > MOST_DEPTH:
        raise Unfit(f"its schema is over {MOST_DEPTH} levels deep")
    for word in ("$ref", "$dynamicRef"):
        place = schema.get(word, "#")
        if not isinstance(place, str) or not place.startswith("#"):
            raise Unfit(f"its schema has a {word} to another place")
    return {key: _cleaned_value(value, depth) for key, value in schema.items()}


def _cleaned_value(value: JsonValue, depth: int) -> JsonValue:
    match value:
        case dict():
            return _cleaned(value, depth + 1)
        case list():
            if depth > MOST_DEPTH:
                raise Unfit(f"its schema is over {MOST_DEPTH} levels deep")
            return [_cleaned_value(item, depth + 1) for item in value]
        case str():
            return clean(value)
        case _:
            return value
