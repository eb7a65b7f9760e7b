"""The OpenAPI 3.1 document of an agent, made from the types on the wire."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

import msgspec

from atoll.http.reference.errors import ERROR_TYPES
from atoll.http.reference.operation import NAME, Operation, Type
from atoll.http.reference.operations import GROUPS, OPERATIONS
from atoll.http.reference.told import Answers, Told
from atoll.wire.json import JsonObject, JsonValue

_REFS = "#/components/schemas/{name}"
_LONG = re.compile(rb"\batoll\.(?:http|wire)\.(\w+)\.(?:\w+\.)?")
"""How msgspec begins the names of types that two dialects have."""
_decode = msgspec.json.Decoder(tuple[list[JsonValue], JsonObject]).decode
_decode_object = msgspec.json.Decoder(JsonObject).decode

AGENTS_TOKEN: JsonObject = {
    "type": "http",
    "scheme": "bearer",
    "description": "The token of the agents: what ATOLL_AGENT_TOKEN was where the fleet started",
}


def document_of(
    title: str, version: str, description: str, name: str, *, is_private: bool
) -> JsonObject:
    """The whole document; the agent's own words are in `info` alone, its `name` in examples."""
    info: JsonObject = {"title": title, "version": version, "description": description}
    told = called(_described(is_private), name)
    return {"openapi": "3.1.0", "info": info, **told}


def called(document: bytes, name: str) -> JsonObject:
    """A document with the name of an agent that there is in its examples."""
    named = document.replace(b'"' + NAME.encode(), b'"' + name.encode())
    return _decode_object(named)


def tags_of(operations: Iterable[Operation]) -> list[JsonValue]:
    """What the groups of these operations are."""
    groups = dict.fromkeys(operation.group for operation in operations)
    return [{"name": group, "description": GROUPS[group]} for group in groups]


def described(
    operations: Iterable[Operation], *, is_private: bool
) -> tuple[JsonObject, JsonObject]:
    """The `paths` of these operations and the `schemas` that they name.

    Where it `is_private`, they want the agents' token.
    """
    listed = tuple(operations)
    types = list(dict.fromkeys(_types(listed)))
    found = msgspec.json.encode(msgspec.json.schema_components(types, ref_template=_REFS))
    each, schemas = _decode(_LONG.sub(rb"\1.", found))
    told = Told(dict(zip(types, each, strict=True)), schemas, _answers(), is_private)
    paths: dict[str, JsonObject] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method] = told.entry(operation)
    return {**paths}, schemas


@cache
def _described(is_private: bool) -> bytes:
    paths, schemas = described(OPERATIONS, is_private=is_private)
    components: JsonObject = {"schemas": schemas}
    if is_private:
        components["securitySchemes"] = {"agents": AGENTS_TOKEN}
    whole = {"tags": tags_of(OPERATIONS), "paths": paths, "components": components}
    return msgspec.json.encode(whole)


def _types(operations: Iterable[Operation]) -> Iterator[Type]:
    for operation in operations:
        one = (operation.takes, operation.gives, operation.query)
        yield from (each for each in (*one, *operation.streams) if each is not None)
    yield from ERROR_TYPES.values()


def _answers() -> Answers:
    """What an agent answered when the examples were sent to it."""
    file = resources.files("atoll.http.reference") / "answers.json"
    return msgspec.json.decode(file.read_bytes(), type=Answers)
