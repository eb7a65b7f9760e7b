"""Whether a JSON Schema is one, as far as its shape goes (JSON Schema 2020-12).

Back ends answer a schema that is none with errors of their grammar compilers, or
not at all; here the place is named. What a keyword of another draft means is theirs.
"""

from typing import assert_never

from atoll.errors import ClientError
from atoll.wire.json import JsonObject, JsonValue

_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_MANY = ("anyOf", "allOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def checked(schema: JsonObject) -> JsonObject:
    """The schema; raises ClientError with the place of what makes it none."""
    rest: list[tuple[str, JsonValue]] = [("$", schema)]
    while rest:
        where, part = rest.pop()
        match part:
            case bool():
                continue
            case dict():
                _check_words(where, part)
                rest += _parts(where, part)
            case None | int() | float() | str() | list():
                raise _fault(where, "is not a schema: an object, true or false")
            case _:
                assert_never(part)
    return schema


def _check_words(where: str, schema: JsonObject) -> None:
    kind = schema.get("type", "object")
    for name in kind if isinstance(kind, list) else [kind]:
        if not isinstance(name, str) or name not in _TYPES:
            raise _fault(f"{where}.type", f"is none of {', '.join(sorted(_TYPES))}")
    if not isinstance(schema.get("enum", []), list):
        raise _fault(f"{where}.enum", "is not an array")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _fault(f"{where}.required", "is not an array of names")


def _parts(where: str, schema: JsonObject) -> list[tuple[str, JsonValue]]:
    """The schemas inside a schema, with their places."""
    listed = "items" if isinstance(schema.get("items"), list) else ""  # until draft 2019-09
    ones = [word for word in _ONE if word in schema and word != listed]
    found = [(f"{where}.{word}", schema[word]) for word in ones]
    for word in (*_MANY, listed):
        many = schema.get(word, [])
        if not isinstance(many, list):
            raise _fault(f"{where}.{word}", "is not an array of schemas")
        found += [(f"{where}.{word}[{index}]", part) for index, part in enumerate(many)]
    for word in _NAMED:
        named = schema.get(word, {})
        if not isinstance(named, dict):
            raise _fault(f"{where}.{word}", "is not an object of schemas")
        found += [(f"{where}.{word}.{name}", part) for name, part in named.items()]
    return found


def _fault(where: str, what: str) -> ClientError:
    return ClientError(f"invalid JSON schema in format: {where} {what}")
