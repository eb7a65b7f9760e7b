"""The types of the Structs in words: what is accepted, what is expected, what was given.

The types are msgspec's own description of the Structs (`msgspec.inspect`), so
that a limit stands in one place only.
"""

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import TypeGuard

from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, StrType, Type, VarTupleType

from atoll.config.positions import Path
from atoll.config.secrecy import secret_path, secret_text
from atoll.config.suggest import one_of, shown
from atoll.wire.json import JsonValue

MAX_FLOAT = 1e9
"""Seconds are 31 years; timers of the operating system still count them."""
MAX_INT = 10**12

_SPECIAL: Mapping[Path, str] = {
    ("deployment", "port"): "0 (automatic) or a port from 1024 to 65535",
    ("llm", "port"): "a port from 1 to 65535",
}


def accepts(kind: Type, value: JsonValue) -> bool:
    """Whether a leaf of this type takes the value; true and false are no numbers."""
    match kind:
        case BoolType():
            return isinstance(value, bool)
        case IntType():
            return _is_number(value, int) and _within(kind, value, MAX_INT)
        case FloatType():
            return _is_number(value, int | float) and _within(kind, value, MAX_FLOAT)
        case StrType(pattern=pattern):
            return isinstance(value, str) and (not pattern or re.search(pattern, value) is not None)
        case LiteralType(values=values):
            return isinstance(value, str) and value in values
        case _:
            return False


def expected(options: Sequence[Type], path: Path) -> str:
    """`a number from 0 to 2`; of several options, each."""
    return _SPECIAL.get(path) or " or ".join(_expected(kind) for kind in options)


def got(value: JsonValue, path: Path) -> str:
    """The value, or only its kind where it could be a secret."""
    secret = secret_path(path)
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return "another string" if secret or secret_text(value) else f'"{shown(value)}"'
        case int() | float():
            return "a number" if secret else shown(str(value))
        case list():
            return "an array"
        case dict():
            return "a table"
        case None:
            return "null"
        case _:
            return "a date or time"


def words_of(options: Sequence[Type]) -> tuple[str, ...]:
    """The words among which a value is chosen, when it is."""
    literals = [kind for kind in options if isinstance(kind, LiteralType)]
    return tuple(str(word) for kind in literals for word in kind.values)


def _is_number(value: JsonValue, kind: type | UnionType) -> TypeGuard[int | float]:
    return isinstance(value, kind) and not isinstance(value, bool)


def _within(kind: IntType | FloatType, value: float, most: float) -> bool:
    """Whether a number keeps the limits; nan keeps none."""
    return (
        -most <= value <= most
        and (kind.gt is None or value > kind.gt)
        and (kind.ge is None or value >= kind.ge)
        and (kind.le is None or value <= kind.le)
    )


def _expected(kind: Type) -> str:
    match kind:
        case BoolType():
            return "true or false"
        case IntType():
            return f"a whole number{_range(kind, MAX_INT)}"
        case FloatType():
            return f"a number{_range(kind, int(MAX_FLOAT))}"
        case StrType(pattern=str()):
            return 'a size such as "512MB" or "4GB"'
        case StrType():
            return "a string"
        case LiteralType(values=values):
            return one_of(str(value) for value in values)
        case VarTupleType():
            return "an array of strings"
        case _:
            return "a table"


def _range(kind: IntType | FloatType, most: int) -> str:
    high = _number(most if kind.le is None else kind.le)
    if kind.gt is not None:
        return f" greater than {_number(kind.gt)}, up to {high}"
    return f" up to {high}" if kind.ge is None else f" from {_number(kind.ge)} to {high}"


def _number(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)
