"""Ollama's `keep_alive`: seconds as a number, or a Go duration as a string.

Go's rules are those of time.ParseDuration; the error texts are Go's own,
because clients show them.
"""

import math
import re

from atoll.errors import ClientError
from atoll.wire.json import JsonValue

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, micro sign
    "μs": 1e-6,  # U+03BC, Greek letter mu
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>[^0-9.]*)")
FOREVER = -1.0


def keep_alive_seconds(value: JsonValue) -> float | None:
    """Seconds to keep the model, `FOREVER`, or None when not said; raises ClientError."""
    match value:
        case None:
            return None
        case bool() | list() | dict():
            raise ClientError(f"Unsupported type: '{type(value).__name__}'")
        case str():
            seconds = go_duration(value)
        case _:
            seconds = _number(value)
    return FOREVER if seconds < 0 else seconds


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int in JSON has no end, a float has
        raise ClientError("keep_alive is out of range") from None


def go_duration(text: str) -> float:
    """Seconds in a Go duration such as `1h30m`, `300ms`, `-1s`, `0`; raises ClientError."""
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    seconds, at = 0.0, 0
    while at < len(rest) and (part := _PART.match(rest, at)):
        seconds += float(part["number"]) * _unit(part["unit"], text)
        at = part.end()
    if not rest or at < len(rest) or math.isinf(seconds):
        raise ClientError(f'time: invalid duration "{text}"')
    return sign * seconds


def _unit(unit: str, text: str) -> float:
    if not unit:
        raise ClientError(f'time: missing unit in duration "{text}"')
    if unit not in _SECONDS:
        raise ClientError(f'time: unknown unit "{unit}" in duration "{text}"')
    return _SECONDS[unit]
