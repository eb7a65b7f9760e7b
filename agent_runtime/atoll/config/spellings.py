"""The source systems' other spellings of manifest keys, put into ours before validation.

seeds-contract section 6: all spellings of 1.1 load, DESIGN's is the documented
one. Each rewrite is noted, so that a mistake is shown where the person wrote it.
"""

from collections.abc import Callable

from atoll.config.positions import Path
from atoll.wire.json import JsonObject, JsonValue

Origins = dict[Path, Path]
"""Our path -> the path in the file."""

_MCP = {
    "transport": "type",
    "timeout": "timeout_seconds",
    "timeoutSeconds": "timeout_seconds",
    "envFile": "env_file",
}


def respelled(document: JsonObject) -> tuple[JsonObject, Origins]:
    """A copy in our spelling, and where each renamed key came from."""
    copy = dict(document)
    origins: Origins = {}
    _each(copy, "mcp_servers", lambda name, server: _rename(name, server, origins))
    deployment = copy.get("deployment")
    if isinstance(deployment, dict):
        copy["deployment"] = _deployment(deployment, origins)
    return copy, origins


def _each(
    document: JsonObject, table: str, change: Callable[[str, JsonObject], JsonObject]
) -> None:
    rows = document.get(table)
    if isinstance(rows, dict):
        document[table] = {
            name: change(name, row) if isinstance(row, dict) else row for name, row in rows.items()
        }


def _rename(name: str, server: JsonObject, origins: Origins) -> JsonObject:
    """One MCP server; of two spellings of one key ours wins, the other stays and is refused."""
    renamed: JsonObject = {}
    for key, value in server.items():
        ours = _MCP.get(key, key)
        if ours != key and (ours in server or ours in renamed):
            ours = key
        if ours != key:
            origins["mcp_servers", name, ours] = ("mcp_servers", name, key)
        renamed[ours] = value
    return renamed


def _deployment(table: JsonObject, origins: Origins) -> JsonObject:
    """`auto_restart` true or false is `restart` on-failure or never."""
    meaning: dict[bool, JsonValue] = {True: "on-failure", False: "never"}
    value = table.get("auto_restart")
    if not isinstance(value, bool) or "restart" in table:
        return table
    origins["deployment", "restart"] = ("deployment", "auto_restart")
    rest = {key: value for key, value in table.items() if key != "auto_restart"}
    return {**rest, "restart": meaning[value]}
