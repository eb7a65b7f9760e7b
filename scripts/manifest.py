"""Write the tables of docs/manifest.md: every key of agent.toml, asked from the code itself.

    python scripts/manifest.py            write the tables
    python scripts/manifest.py --check    exit 1 when they are not what the code says

Types and defaults come from the Structs, meanings from `atoll.config.meanings`,
and whether this release acts on a key from `atoll.config.pending`.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import DictType, Field, NoneType, StructType, Type, UnionType, VarTupleType

from atoll.config.describe import accepts, expected, words_of
from atoll.config.load import Loaded
from atoll.config.manifest import Manifest
from atoll.config.meanings import MEANINGS
from atoll.config.pending import pending
from atoll.config.validate import struct_type
from atoll.wire.json import JsonObject, JsonValue

PAGE = Path(__file__).parent.parent / "docs" / "manifest.md"
MARK = "<!-- What follows is written by scripts/manifest.py; do not edit. -->\n"
_NUMBERS = (0, 1, 2, 0.5, 8123)
_CEILING = re.compile(r",? (?:up )?to 10{9,}")
"""The greatest number that is taken at all; not a limit that anybody has to know."""


class Key(Struct, frozen=True):
    """One key of one table; `table` is its dotted header without brackets."""

    table: str
    struct: str
    field: Field

    @property
    def path(self) -> str:
        """`llm.temperature`."""
        return f"{self.table}.{self.field.encode_name}"

    @property
    def options(self) -> tuple[Type, ...]:
        """The types that its value may have."""
        return _options(self.field.type)

    @property
    def words(self) -> tuple[str, ...]:
        """The words among which it is chosen, when it is."""
        return words_of(self.options)


def every_key() -> Iterator[Key]:
    """Every key of every table, in the order of the Structs."""
    for table in struct_type(Manifest).fields:
        for option in _options(table.type):
            kind, name = option, table.encode_name
            if isinstance(option, DictType):
                kind, name = option.value_type, f"{name}.<name>"
            assert isinstance(kind, StructType)
            yield from (Key(name, kind.cls.__name__, field) for field in kind.fields)


def samples(key: Key) -> list[JsonValue]:
    """Values of each kind that the key takes."""
    return [value for option in key.options for value in _candidates(option)]


def is_pending(key: Key, value: JsonValue) -> bool:
    """Whether an agent whose manifest sets the key so says that it does not act on it."""
    top, _, row = key.table.partition(".")
    keys: JsonObject = {key.field.encode_name: value}
    table: JsonObject = {"x": keys} if row else keys
    document: JsonObject = {"agent": {"name": "X"}}
    document[top] = {"name": "X", **table} if top == "agent" else table
    manifest = msgspec.convert(document, Manifest)
    given = frozenset({key.path.replace("<name>", "x")})
    return bool(pending(Loaded(manifest=manifest, path=Path(), checksum="", given=given)))


def tables() -> str:
    """The generated part of the page."""
    every = list(every_key())
    headers = dict.fromkeys(key.table for key in every)
    return "\n".join(_table(name, [key for key in every if key.table == name]) for name in headers)


def _table(name: str, keys: Sequence[Key]) -> str:
    meaning = MEANINGS[f"Manifest.{name.partition('.')[0]}"]
    head = f"## `[{name}]`\n\n{meaning}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    return head + "".join(f"{_row(key)}\n" for key in keys)


def _row(key: Key) -> str:
    name, _, _ = key.table.partition(".")
    takes = expected(key.options, (name, key.field.encode_name))
    if _CEILING.search(takes):
        takes = re.sub(r" from (-?[0-9]+)", r" of \1 or more", _CEILING.sub("", takes))
    meaning = MEANINGS[f"{key.struct}.{key.field.encode_name}"]
    cells = (f"`{key.field.encode_name}`", takes, _shown(_default(key.field)), meaning + later(key))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def later(key: Key) -> str:
    """What of the key waits for a later release: all, some of its words, or nothing."""
    takes = samples(key)
    waiting = [value for value in takes if is_pending(key, value)]
    if key.words and 0 < len(waiting) < len(takes):
        kinds = (f"`{value}`" if isinstance(value, str) else "a number" for value in waiting)
        return f" *Later:* {', '.join(dict.fromkeys(kinds))}."
    return " *Later.*" if waiting else ""


def _options(kind: Type) -> tuple[Type, ...]:
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    return tuple(option for option in kinds if not isinstance(option, NoneType))


def _default(field: Field) -> object:
    """The default in TOML's types; None for a key that is required or has none."""
    if field.required:
        return None
    value = field.default_factory() if field.default is NODEFAULT else field.default
    return msgspec.to_builtins(value)


def _shown(default: object) -> str:
    match default:
        case None:
            return ""
        case list() | tuple() | dict() | str():
            return f"`{msgspec.json.encode(default).decode()}`"
        case bool():
            return "`true`" if default else "`false`"
        case _:
            return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _candidates(option: Type) -> Iterator[JsonValue]:
    match option:
        case VarTupleType():
            yield ["x"]
        case DictType():
            yield {"A": "x"}
        case _:
            words = getattr(option, "values", ("1GB", "x"))
            values: tuple[JsonValue, ...] = (*words, *_NUMBERS, True, False)
            yield from (value for value in values if accepts(option, value))


def page() -> str:
    """The whole page: what people wrote above the mark, and the tables."""
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0] + MARK + "\n" + tables()


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
