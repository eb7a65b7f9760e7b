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


class Mark(Protocol):
    """A place in the text; `line` and `column` count from 0."""

    index: int
    line: int
    column: int


class Node(Protocol):
    """A part of the text as PyYAML's composer gives it: a scalar, a list, or pairs."""

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
        for token in yaml.scan(text):
            if type(token).__name__ in ("AliasToken", "AnchorToken"):
                raise _at(file, getattr(token, "start_mark", None), "anchors are not read here")
        root = yaml.compose(text)
        found = _Places()
        found.walk(root, (), 0)
        if found.fault:
            raise ConfigError(Problem(file=file, message=found.fault))
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


class _Places:
    """Collects where keys and values stand."""

    def __init__(self) -> None:
        self.fault = ""
        self._pairs: list[Entry] = []
        self._by_path: dict[Path, Entry] = {}

    def walk(self, node: Node | None, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH or len(self._pairs) > MAX_VALUES:
            self.fault = "is too deep or too long for a recipe"
        if node is None or self.fault or not isinstance(node.value, list):
            return
        for number, item in enumerate(node.value):
            key, value = item if isinstance(item, tuple) else (item, item)
            part = str(key.value) if isinstance(item, tuple) else number
            entry = Entry((*path, part), key.start_mark.index, value.start_mark.index)
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
