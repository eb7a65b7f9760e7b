"""The OpenAPI 3.1 document of an agent, made from the types on the wire."""

import re
from collections.abc import Iterator
from functools import cache

import msgspec

from atoll.http.reference.operations import OPERATIONS, Operation, Type
from atoll.wire.json import JsonObject, JsonValue

_JSON, _WEBSOCKET = "application/json", "x-websocket"
_STREAMS = {"Ollama": "application/x-ndjson", "Events": "application/x-ndjson"}
_REFS = "#/components/schemas/{name}"
_LONG = re.compile(rb"\batoll\.(?:http|wire)\.(\w+)\.(?:\w+\.)?")
"""How msgspec begins the names of types that two dialects have."""
_decode = msgspec.json.Decoder(tuple[list[JsonValue], JsonObject]).decode


def document_of(title: str, version: str, description: str) -> JsonObject:
    """The whole document; the agent's own words are in `info` alone."""
    info: JsonObject = {"title": title, "version": version, "description": description}
    return {"openapi": "3.1.0", "info": info, **_described()}


@cache
def _described() -> JsonObject:
    types = list(dict.fromkeys(_types()))
    found = msgspec.json.encode(msgspec.json.schema_components(types, ref_template=_REFS))
    each, schemas = _decode(_LONG.sub(rb"\1.", found))
    refs = dict(zip(types, each, strict=True))
    paths: dict[str, JsonObject] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _told(operation, refs, schemas)
    return {"paths": {**paths}, "components": {"schemas": schemas}}


def _types() -> Iterator[Type]:
    for operation in OPERATIONS:
        one = (operation.takes, operation.gives, operation.query)
        yield from (each for each in (*one, *operation.streams) if each is not None)


def _told(operation: Operation, refs: dict[Type, JsonValue], schemas: JsonObject) -> JsonObject:
    told: JsonObject = {"tags": [operation.group], "summary": operation.summary}
    told["operationId"] = f"{operation.method} {operation.path}"
    asked = refs[operation.query] if operation.query is not None else None
    told["parameters"] = [*_in_path(operation.path), *_in_query(asked, schemas)]
    if operation.path.startswith("/ws/"):
        frames: JsonObject = {"client": refs[operation.takes or object]}
        frames["server"] = {"oneOf": [refs[one] for one in operation.streams]}
        told[_WEBSOCKET] = frames  # OpenAPI has no words for it
        told["responses"] = {"101": {"description": "Switching Protocols"}}
        return told
    if operation.takes is not None:
        told["requestBody"] = {
            "required": True,
            "content": {_JSON: {"schema": refs[operation.takes]}},
        }
    told["responses"] = {"200": {"description": "OK", "content": _answers(operation, refs)}}
    return told


def _answers(operation: Operation, refs: dict[Type, JsonValue]) -> JsonObject:
    content: JsonObject = {}
    if operation.gives is not None:
        content[_JSON] = {"schema": refs[operation.gives]}
    if operation.streams:
        kind = _STREAMS.get(operation.group, "text/event-stream")
        parts = [refs[one] for one in operation.streams]
        content[kind] = {"schema": {"oneOf": parts} if len(parts) > 1 else parts[0]}
    return content


def _in_path(path: str) -> Iterator[JsonObject]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(ref: JsonValue, schemas: JsonObject) -> Iterator[JsonObject]:
    name = str(ref["$ref"]).rpartition("/")[2] if isinstance(ref, dict) else ""
    schema = schemas.get(name, {})
    assert isinstance(schema, dict)
    fields, required = schema.get("properties", {}), schema.get("required", [])
    assert isinstance(fields, dict)
    assert isinstance(required, list)
    for name, field in fields.items():
        yield {"name": name, "in": "query", "required": name in required, "schema": field}
