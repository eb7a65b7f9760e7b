"""Ollama's `options`: known keys checked as Ollama checks them, unknown ones left out.

null counts as absent, and a fraction given for a whole number is cut off
(ollama-api.md 1.2). A wrong type is the client's mistake and answered 400,
where upstream happens to say 500.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from atoll.errors import ClientError
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Options

_MAX_INT = 2**63
_NONE = Options()


def _integer(key: str, value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= _MAX_INT:
        raise _wrong(key, "integer")
    return int(value)


def _number(key: str, value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, "float32")
    try:
        return float(value)
    except OverflowError:  # an int in JSON has no end, a float has
        raise _wrong(key, "float32") from None


def _boolean(key: str, value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, "boolean")
    return value


def _strings(key: str, value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(key, "array")
    strings = tuple(item for item in value if isinstance(item, str))
    if len(strings) != len(value):
        raise _wrong(key, "array of strings")
    return strings


def _wrong(key: str, kind: str) -> ClientError:
    return ClientError(f'option "{key}" must be of type {kind}')


_NAMED: Final[dict[str, Callable[[str, JsonValue], object]]] = {
    "temperature": _number,
    "top_p": _number,
    "top_k": _integer,
    "min_p": _number,
    "num_predict": _integer,
    "seed": _integer,
    "stop": _strings,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "repeat_penalty": _number,
}
_EXTRA: Final[dict[str, Callable[[str, JsonValue], JsonValue]]] = {
    "num_keep": _integer,
    "num_ctx": _integer,
    "num_batch": _integer,
    "num_gpu": _integer,
    "main_gpu": _integer,
    "num_thread": _integer,
    "repeat_last_n": _integer,
    "draft_num_predict": _integer,
    "typical_p": _number,
    "use_mmap": _boolean,
}


def options_of(raw: JsonObject | None) -> Options:
    """The options a request gives; raises ClientError on a wrong type."""
    named: dict[str, object] = {}
    extra: JsonObject = {}
    for key, value in (raw or {}).items():
        if value is None:
            continue
        if key in _NAMED:
            named["max_tokens" if key == "num_predict" else key] = _NAMED[key](key, value)
        elif key in _EXTRA:
            extra[key] = _EXTRA[key](key, value)
    return msgspec.structs.replace(_NONE, **named, extra=extra)
