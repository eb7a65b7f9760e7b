"""The JSON Schema of `agent.toml`, made from its Structs, for editors (Even Better TOML)."""

import msgspec

from atoll.config.manifest import Manifest
from atoll.wire.json import JsonObject

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> JsonObject:
    """A JSON Schema, draft 2020-12: one definition per table, the docstrings as descriptions."""
    (_,), definitions = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    top = msgspec.convert(definitions.pop("Manifest"), JsonObject)
    return {
        "$schema": DIALECT,
        **top,
        "title": "agent.toml",
        "$defs": msgspec.convert(definitions, JsonObject),
    }
