"""A YAML file as `atoll.config.document` has TOML ones: its data, and where each key stands.

PyYAML comes with Litestar; it is imported when the first YAML recipe is read,
and only its safe loader is used. Aliases are refused: a recipe needs none, and
nine lines of them can fill a machine's memory.
"""

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import msgspec
from msgspec import Struct

from atoll.config.document import Document
from atoll.config.positions import MAX_DEPTH, MAX_VALUES, Entry, Path, Scan
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject

TEXT = "tag:yaml.org,2002:str"
TOO_MUCH = "is too deep or too long for a recipe"


class Mark(Protocol):
    """A place in the text; `line` and `column` count from 0."""

    index: int
    line: int
    column: int


class Node(Protocol):
    """A part of the text as PyYAML's composer gives it: a scalar, a list, or pairs."""

    tag: str
    value: "str | list[Node | tuple[Node, Node]]"
    start_mark: Mark


class Yaml(Struct, frozen=True):
    """The two functions of PyYAML that are used, each over its safe loader."""

    compose: Callable[[str], Node | None]
    scan: Callable[[str], Iterable[object]]


def parse_yaml(file: str, data: bytes) -> Document:
    """Parse a YAML mapping; raises ConfigError with the place of the first mistake."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigError(Problem(file=file, message="is not UTF-8 text")) from None
    yaml = _library(file)
    try:
        _look_through(file, yaml.scan(text))
        root = yaml.compose(text)
        found = _Places()
        found.walk(root, (), 0)
        if found.fault:
            raise _at(file, found.place, found.fault)
        value = msgspec.yaml.decode(data, type=JsonObject)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(Problem(file=file, message=f"is not valid YAML: {error}")) from None
    except Exception as error:  # noqa: BLE001  YAMLError, whose class is known only at run time
        words = str(getattr(error, "problem", None) or error)
        raise _at(
            file, getattr(error, "problem_mark", None), f"is not valid YAML: {words}"
        ) from None
    return Document(file, text, value, found.scan())


def _look_through(file: str, tokens: Iterable[object]) -> None:
    """Refuse what would cost too much, before it does: a deep file takes PyYAML minutes."""
    depth = 0
    for token in tokens:
        kind, mark = type(token).__name__, getattr(token, "start_mark", None)
        if kind in ("AliasToken", "AnchorToken"):
            raise _at(file, mark, "anchors are not read here")
        depth += kind.endswith("StartToken") - kind.endswith("EndToken")
        if depth > MAX_DEPTH:
            raise _at(file, mark, TOO_MUCH)


class _Places:
    """Collects where keys and values stand."""

    def __init__(self) -> None:
        self.fault = ""
        self.place: Mark | None = None
        self._pairs: list[Entry] = []
        self._by_path: dict[Path, Entry] = {}

    def walk(self, node: Node | None, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH or len(self._pairs) > MAX_VALUES:
            self.fault = TOO_MUCH
        if node is None or self.fault or not isinstance(node.value, list):
            return
        for number, item in enumerate(node.value):
            if self.fault:
                return
            key, value = item if isinstance(item, tuple) else (item, item)
            part = str(key.value) if isinstance(item, tuple) else number
            entry = Entry((*path, part), key.start_mark.index, value.start_mark.index)
            if isinstance(item, tuple) and key.tag != TEXT:
                self.fault, self.place = "a key must be text: put it in quotes", key.start_mark
            elif entry.path in self._by_path:
                self.fault, self.place = "is there twice", key.start_mark
            self._pairs.append(entry)
            self._by_path[entry.path] = entry
            self.walk(value, entry.path, depth + 1)

    def scan(self) -> Scan:
        return Scan(tuple(self._pairs), self._by_path, None)


def _library(file: str) -> Yaml:
    try:
        module = importlib.import_module("yaml")
    except ImportError:
        message = "is YAML, and PyYAML is not installed"
        hint = "pip install pyyaml, or write the recipe as TOML"
        raise ConfigError(Problem(file=file, message=message, hint=hint)) from None
    safe = {"Loader": module.SafeLoader}
    return Yaml(partial(module.compose, **safe), partial(module.scan, **safe))


def _at(file: str, mark: Mark | None, message: str) -> ConfigError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return ConfigError(Problem(file=file, message=message, line=line, column=column))
