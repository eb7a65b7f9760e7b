"""The JSON Schema of `agent.toml`, made from its Structs, for editors (Even Better TOML).

What each key means stands in `meanings`; the limits and defaults come from the
Structs, so that an editor says what `load_manifest` would.
"""

import msgspec

from atoll.config.manifest import Manifest
from atoll.config.meanings import MEANINGS
from atoll.config.spellings import MCP_SPELLINGS
from atoll.wire.json import JsonObject, JsonValue

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> JsonObject:
    """A JSON Schema, draft 2020-12: one definition per table, every key with its meaning."""
    _, components = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    tables = msgspec.convert(components, dict[str, JsonObject])
    for name, table in tables.items():
        _explain(name, _keys_of(table))
    _limit_port(_keys_of(tables["Deployment"]))
    _add_spellings(tables)
    _add_choices(tables)
    top = tables.pop("Manifest")
    return {"$schema": DIALECT, **top, "title": "agent.toml", "$defs": dict(tables)}


def _keys_of(table: JsonObject) -> JsonObject:
    keys = table["properties"]
    assert isinstance(keys, dict)
    return keys


def _explain(table: str, keys: JsonObject) -> None:
    """Give each key its title and meaning; TOML has no null, so no key offers one."""
    for key, given in keys.items():
        shape = _without_null(given)
        meaning = MEANINGS.get(f"{table}.{key}", "")
        keys[key] = {"title": key, **({"description": meaning} if meaning else {}), **shape}


def _without_null(shape: JsonValue) -> JsonObject:
    assert isinstance(shape, dict)
    options = shape.get("anyOf")
    kept = [one for one in options if one != {"type": "null"}] if isinstance(options, list) else []
    rest = {key: value for key, value in shape.items() if (key, value) != ("default", None)}
    if len(kept) != 1 or not isinstance(kept[0], dict):
        return {**rest, "anyOf": kept} if kept else rest
    del rest["anyOf"]
    return {**rest, **kept[0]}


def _limit_port(keys: JsonObject) -> None:
    port = keys["port"]
    assert isinstance(port, dict)
    limits: list[JsonValue] = [{"const": 0}, {"minimum": 1024, "maximum": 65535}]
    kept = {key: value for key, value in port.items() if key not in ("minimum", "maximum")}
    keys["port"] = {**kept, "anyOf": limits}


def _add_spellings(tables: dict[str, JsonObject]) -> None:
    """The source systems' spellings load, so an editor must not call them unknown."""
    servers = _keys_of(tables["McpServer"])
    for old, new in MCP_SPELLINGS.items():
        servers[old] = _deprecated(old, servers[new], f"Another spelling of `{new}`.")
    meaning = 'true is `restart = "on-failure"`, false is `restart = "never"`.'
    auto: JsonObject = {"type": "boolean"}
    deployment = _keys_of(tables["Deployment"])
    deployment["auto_restart"] = _deprecated("auto_restart", auto, meaning)
    key, meaning = "health_check_interval", "Another place of `deployment.health_check_interval`."
    _keys_of(tables["Resources"])[key] = _deprecated(key, deployment[key], meaning)


def _deprecated(key: str, shape: JsonValue, meaning: str) -> JsonObject:
    assert isinstance(shape, dict)
    return {**shape, "title": key, "description": meaning, "deprecated": True}


def _add_choices(tables: dict[str, JsonObject]) -> None:
    """A child is named in exactly one way."""
    ways: list[JsonValue] = [{"required": [key]} for key in ("url", "agent", "capability")]
    tables["SubAgent"]["oneOf"] = ways
