"""A document against a Struct: every mistake, not only the first.

msgspec stops at its first error and knows no unknown key's neighbours, so the
tables are walked here. What a table holds and what a value must be is read from
the Structs alone (`describe`); strings are expanded on the way, so that the
limits hold for what a variable brings too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from msgspec import Struct
from msgspec.inspect import (
    DictType,
    Field,
    NoneType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from atoll.config.describe import accepts, expected, got, words_of
from atoll.config.document import MAX_PROBLEMS, Fault, dotted
from atoll.config.expand import Expanded, expanded
from atoll.config.positions import Path
from atoll.config.suggest import did_you_mean, shown
from atoll.wire.json import JsonObject, JsonValue

MAX_FAULTS = MAX_PROBLEMS + 1
"""After so many the rest of a file is not looked at."""

SET_IT = "set it, or write $$ for a dollar"
"""Hint to a variable that is not set, where the environment's may be named."""
_EXAMPLES = {
    "agent": 'the least manifest is `[agent]` and under it `name = "My agent"`',
    "name": 'for example `name = "My agent"`',
    "servers": 'for example `{"servers": {"files": {"command": "mcp-server-files"}}}`',
}


class Validated(Struct, frozen=True):
    """What came of a document.

    `data` is fit for `msgspec.convert` when there are no faults. `given` are the
    dotted paths of the keys it sets, `variables` the environment's variables
    that its strings name.
    """

    data: JsonObject = {}
    faults: tuple[Fault, ...] = ()
    given: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()


def validated(data: JsonObject, kind: type[Struct], environ: Mapping[str, str]) -> Validated:
    """Check a document against a Struct and expand its strings."""
    walk = _Walk(struct_type(kind), environ)
    clean = walk.table(data, struct_type(kind), ())
    return Validated(clean, tuple(walk.faults), frozenset(walk.given), frozenset(walk.variables))


@cache
def struct_type(kind: type[Struct]) -> StructType:
    """msgspec's description of a Struct."""
    found = type_info(kind)
    assert isinstance(found, StructType)
    return found


class _Walk:
    def __init__(self, root: StructType, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = environ
        self.faults: list[Fault] = []
        self.given: set[str] = set()
        self.variables: set[str] = set()

    def table(self, table: JsonObject, kind: StructType, path: Path) -> JsonObject:
        fields = {field.encode_name: field for field in kind.fields}
        clean: JsonObject = {}
        for key, value in table.items():
            if self._is_enough():
                break
            if key in fields and value is not None:  # null in JSON: as if left out
                clean[key] = self._key(value, fields[key].type, (*path, key))
            elif key not in fields and kind.forbid_unknown_fields:
                self.faults.append(_unknown((*path, key), tuple(fields), self._root))
        self.faults.extend(_missing(fields.values(), clean, path))
        return clean

    def _key(self, value: JsonValue, kind: Type, path: Path) -> JsonValue:
        options = _options(kind)
        if not any(_holds_tables(option) for option in options):
            self.given.add(dotted(path))
        return self._value(value, options, path)

    def _value(self, value: JsonValue, options: Sequence[Type], path: Path) -> JsonValue:
        match options, value:
            case [StructType() as kind], dict():
                return self.table(value, kind, path)
            case [DictType(value_type=inner)], dict():
                return self._named(value, inner, path)
            case [VarTupleType(item_type=inner)], list():
                return [self._value(v, (inner,), (*path, n)) for n, v in enumerate(value)]
            case _:
                return self._leaf(value, options, path)

    def _named(self, table: JsonObject, inner: Type, path: Path) -> JsonValue:
        return {
            key: self._value(value, (inner,), (*path, key))
            for key, value in table.items()
            if value is not None
        }

    def _leaf(self, value: JsonValue, options: Sequence[Type], path: Path) -> JsonValue:
        if self._is_enough():
            return value
        found = expanded(value, path, self._environ) if isinstance(value, str) else Expanded("")
        self.variables.update(found.names)
        for words in found.faults:
            self.faults.append(Fault(path=path, message=words, hint=SET_IT))
        actual = found.text if isinstance(value, str) else value
        if found.faults:
            return actual
        if not any(accepts(option, actual) for option in options):
            self.faults.append(_wrong(value, options, path))
        elif isinstance(actual, str) and "\0" in actual:
            self.faults.append(Fault(path=path, message="must not hold a NUL character"))
        return actual

    def _is_enough(self) -> bool:
        return len(self.faults) >= MAX_FAULTS


def _options(kind: Type) -> tuple[Type, ...]:
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    return tuple(option for option in kinds if not isinstance(option, NoneType))


def _holds_tables(kind: Type) -> bool:
    match kind:
        case StructType() | DictType(value_type=StructType()):
            return True
        case _:
            return False


def _wrong(value: JsonValue, options: Sequence[Type], path: Path) -> Fault:
    words = words_of(options)
    hint = did_you_mean(value, words) if isinstance(value, str) and words else ""
    message = f"expected {expected(options, path)}, got {got(value, path)}"
    return Fault(path=path, message=message, hint=hint)


def _unknown(path: Path, known: Sequence[str], root: StructType) -> Fault:
    table, key = path[:-1], str(path[-1])
    where = f"in [{dotted(table)}]" if table else "at the top level"
    hint = did_you_mean(key, known) or _home(key, root)
    hint = hint or f"known keys: {', '.join(sorted(known))}"
    message = f"unknown key `{shown(key)}` {where}"
    return Fault(path=path, message=message, hint=hint, at_key=True)


def _home(key: str, root: StructType) -> str:
    """`it belongs under [llm]`, when other tables of the document have this very key."""
    homes = [
        f"[{field.encode_name}]"
        for field in root.fields
        for table in _options(field.type)
        if isinstance(table, StructType) and key in {one.encode_name for one in table.fields}
    ]
    return f"it belongs under {' or '.join(homes)}" if homes else ""


def _missing(fields: Iterable[Field], table: JsonObject, path: Path) -> Iterator[Fault]:
    """The required keys that the table leaves out, told at its header."""
    for field in fields:
        key = field.encode_name
        if field.required and table.get(key) is None:
            message = f"[{dotted(path)}] needs the key `{key}`" if path else f"needs [{key}]"
            yield Fault(path=path, message=message, hint=_EXAMPLES.get(key, ""), at_key=True)
