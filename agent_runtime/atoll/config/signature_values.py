"""Values against a signature: what is wrong with them, and the JSON Schema that says the same."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import assert_never

from atoll.config.signature_types import (
    Choice,
    Constant,
    DictOf,
    ListOf,
    Maybe,
    Plain,
    Signature,
    Type,
)
from atoll.config.suggest import did_you_mean, shown
from atoll.wire.json import JsonObject, JsonValue

MOST_FAULTS = 10
_WIDEST = 2**63
"""What is whole and further from 0 than this is no `int`: no JSON reader keeps its digits."""
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def json_schema(signature: Signature) -> JsonObject:
    """The signature as JSON Schema, draft 2020-12: an object of exactly its fields."""
    properties: JsonObject = {}
    for field in signature.fields:
        described: JsonObject = {"description": field.description} if field.description else {}
        properties[field.name] = {**_schema_of(field.type), **described}
    required: list[JsonValue] = [f.name for f in signature.fields if not f.is_optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def faults_of(signature: Signature, values: JsonObject, what: str) -> tuple[str, ...]:
    """What is wrong with an object, at most ten sentences; `what` is "input" or "output"."""
    return tuple(islice(_faults(signature, values, what), MOST_FAULTS))


def completed(signature: Signature, values: JsonObject) -> JsonObject:
    """Values that fit, in the signature's order, with null for what may be left out.

    What is whole is an int where the signature says so: JSON has 3.0 for 3, too.
    """
    return {field.name: _exact(field.type, values.get(field.name)) for field in signature.fields}


def _exact(kind: Type, value: JsonValue) -> JsonValue:
    match kind, value:
        case Plain("int"), float():
            return int(value)
        case Maybe(inner), _:
            return _exact(inner, value)
        case ListOf(item), list():
            return [_exact(item, one) for one in value]
        case DictOf(value=inner), dict():
            return {key: _exact(inner, one) for key, one in value.items()}
        case _:
            return value


def _faults(signature: Signature, values: JsonObject, what: str) -> Iterator[str]:
    names = signature.names
    for name in values:
        if name not in names:
            near = did_you_mean(name, names) or f"there is {_listed(names)}"
            yield f"{what} `{shown(name)}` is not known; {near}"
    for field in signature.fields:
        if field.name in values:
            yield from _wrong(field.type, values[field.name], f"{what} `{field.name}`")
        elif not field.is_optional:
            yield f"{what} `{field.name}` ({field.words}) is missing"


def _wrong(kind: Type, value: JsonValue, where: str) -> Iterator[str]:
    match kind:
        case Maybe(inner):
            if value is not None:
                yield from _wrong(inner, value, where)
        case Plain(word):
            if not _is(word, value):
                yield f"{where} must be {word}, not {_kind_of(value)}"
        case Choice(values):
            if not any(_same(one, value) for one in values):
                yield f"{where} must be {_either(list(map(repr, values)))}"
        case ListOf(item):
            if isinstance(value, list):
                for number, one in enumerate(value):
                    yield from _wrong(item, one, f"{where}[{number}]")
            else:
                yield f"{where} must be a list, not {_kind_of(value)}"
        case DictOf():
            yield from _wrong_dict(kind, value, where)
        case _:
            assert_never(kind)


def _wrong_dict(kind: DictOf, value: JsonValue, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} must be an object, not {_kind_of(value)}"
        return
    for key, one in value.items():
        if not _is_key(kind.key, key):
            yield f"{where} has a key that it must not have: `{shown(key)}`"
        yield from _wrong(kind.value, one, f"{where}[{shown(key)!r}]")


def _is(word: str, value: JsonValue) -> bool:
    match word, value:
        case ("bool", bool()) | ("str", str()):
            return True
        case "int" | "float", bool():
            return False
        case "int", int():
            return True
        case "int", float():
            return value.is_integer() and abs(value) < _WIDEST
        case "float", int() | float():
            return True
        case _:
            return False


def _is_key(kind: Plain | Choice, key: str) -> bool:
    match kind:
        case Plain("int"):
            return _WHOLE.fullmatch(key) is not None
        case Plain():
            return True
        case Choice(values):
            return key in map(str, values)


def _same(one: Constant, value: JsonValue) -> bool:
    """Equal and of one type: in Python True is 1."""
    return type(one) is type(value) and one == value


def _kind_of(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float" if abs(value) < _WIDEST else "a number of more than 64 bits"
        case str():
            return "str"
        case list():
            return "a list"
        case dict():
            return "an object"


def _listed(words: Sequence[str]) -> str:
    first = ", ".join(shown(word) for word in words[:10])
    return f"{first}, …" if len(words) > 10 else first


def _either(words: Sequence[str]) -> str:
    """One of these: `'short' or 'long'`."""
    if not 2 <= len(words) <= 10:
        return _listed(words)
    return f"{_listed(words[:-1])} or {shown(words[-1])}"


def _schema_of(kind: Type) -> JsonObject:
    match kind:
        case Plain(word):
            return {"type": _JSON_TYPES[word]}
        case ListOf(item):
            return {"type": "array", "items": _schema_of(item)}
        case DictOf(key, value):
            return {"type": "object", **_names(key), "additionalProperties": _schema_of(value)}
        case Choice(values):
            text: JsonObject = {"type": "string"} if all(isinstance(v, str) for v in values) else {}
            return {**text, "enum": list(values)}
        case Maybe(inner):
            return {"anyOf": [_schema_of(inner), {"type": "null"}]}
        case _:
            assert_never(kind)


def _names(key: Plain | Choice) -> JsonObject:
    match key:
        case Plain("int"):
            return {"propertyNames": {"pattern": "^-?[0-9]{1,18}$"}}
        case Plain():
            return {}
        case Choice(values):
            return {"propertyNames": {"enum": [str(value) for value in values]}}
