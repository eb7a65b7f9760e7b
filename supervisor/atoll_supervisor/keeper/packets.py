"""Messages as packets: a JSON object with `op`, the message's name in lower case (see `protocol`).

What comes in is checked against the types of the message's fields, so that
nothing that a daemon sends can break the keeper later than here.
"""

import json
from collections.abc import Mapping
from typing import Literal, TypeGuard, get_args, get_origin, get_type_hints

from atoll_supervisor.keeper import protocol as p

MAX_PACKET = 262_144
"""Bytes of the largest command; a launch with a large environment is the largest."""
MAX_MEMO = 32_768
MAX_REASON = 500

_MIN, _MAX = -(2**63), 2**63

Kind = type[p.Command] | type[p.State]

_COMMANDS: dict[str, type[p.Command]] = {
    kind.__name__.lower(): kind for kind in get_args(p.Command)
}
_STATES: dict[str, type[p.State]] = {kind.__name__.lower(): kind for kind in get_args(p.State)}
_HINTS: dict[str, Mapping[str, object]] = {
    kind.__name__: get_type_hints(kind) for kind in (*_COMMANDS.values(), *_STATES.values())
}


class Garbage(ValueError):
    """A packet that is no message of this protocol."""


def encode(message: p.Command | p.State) -> bytes:
    """A message as one packet of valid UTF-8."""
    fields = {"op": type(message).__name__.lower()} | message._asdict()
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # a lone surrogate: JSON spells it the same way


def decode_command(packet: bytes) -> p.Command:
    """The command in a packet; raises Garbage."""
    fields = _object(packet)
    kind = _COMMANDS.get(str(fields.get("op")))
    if kind is None:
        raise Garbage(f"no command is called {str(fields.get('op'))[:40]!r}")
    return kind._make(_values(kind, fields))


def decode_state(packet: bytes) -> p.State:
    """The state in a packet; raises Garbage."""
    fields = _object(packet)
    kind = _STATES.get(str(fields.get("op")))
    if kind is None:
        raise Garbage(f"no state is called {str(fields.get('op'))[:40]!r}")
    return kind._make(_values(kind, fields))


def _object(packet: bytes) -> dict[str, object]:
    try:
        found: object = json.loads(packet)
    except (ValueError, RecursionError) as error:
        raise Garbage("not JSON") from error
    if not is_object(found):
        raise Garbage("not an object")
    return found


def _values(kind: Kind, fields: dict[str, object]) -> list[object]:
    """The fields in order, each of its type."""
    hints = _HINTS[kind.__name__]
    defaults = kind._field_defaults
    values: list[object] = []
    for name in kind._fields:
        if name not in fields and name not in defaults:
            raise Garbage(f"{kind.__name__.lower()} without {name}")
        value = fields.get(name, defaults.get(name))
        if not _fits(value, hints[name]):
            raise Garbage(f"{kind.__name__.lower()}.{name} is not what it has to be")
        values.append(value)
    return values


def _fits(value: object, hint: object) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin is list:
        return _is_list(value) and all(_fits(item, args[0]) for item in value)
    if origin is dict:
        return is_object(value) and all(_fits(item, args[1]) for item in value.values())
    if args:  # a union with None
        return any(_fits(value, arg) for arg in args)
    return _is_plain(value, hint)


def _is_plain(value: object, hint: object) -> bool:
    """JSON has one kind of number; a bool is none, and neither is one that nothing can hold."""
    if isinstance(value, bool):
        return hint is bool
    if isinstance(value, int | float):
        fits = hint is float or (hint is int and isinstance(value, int))
        return fits and _MIN < value < _MAX
    return isinstance(hint, type) and isinstance(value, hint)


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
