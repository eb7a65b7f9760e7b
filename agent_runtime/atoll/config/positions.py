"""Where each key and each value stands in a TOML or JSON text.

msgspec names a mistake by its path and tomllib forgets places (attacks.md 0.3),
so this scanner walks the text once, before the parser does. On the way it
refuses what the parser could not survive: tomllib of Python 3.11 ends deep
nesting in a RecursionError, blocks 9 s on a key of 20,000 dots and meets a long
number with a ValueError (attacks.md 0.2).

The scanner understands every valid text and stops silently at the first thing
that it does not understand: saying what is wrong there is the parser's part,
and the places found until then still serve its message.
"""

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from msgspec import DecodeError, json

Path = tuple[str | int, ...]
"""Keys, and the numbers of array items, from the top."""

MAX_PARTS = 8
"""Parts of one dotted key; the schema needs four."""
MAX_DEPTH = 20
"""Brackets inside brackets; the schema needs three."""
MAX_VALUES = 5_000
"""Keys and array items of one file: what is more costs the loop time that agents wait for."""
MAX_NUMBER = 100
"""Characters of one number."""


class Entry(NamedTuple):
    """The offsets of one key and of its value; an array's item is its own key."""

    path: Path
    key: int
    value: int


class Refusal(NamedTuple):
    """Why the parser must not see the text, and where."""

    offset: int
    words: str


class Scan(NamedTuple):
    """What was found: keys and headers in the order of the text, every path's last entry."""

    pairs: tuple[Entry, ...]
    by_path: dict[Path, Entry]
    refusal: Refusal | None

    def nearest(self, path: Path) -> Entry | None:
        """The entry of a path, else of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if entry := self.by_path.get(path[:length]):
                return entry
        return None


def scan_toml(text: str) -> Scan:
    """Find the places in a TOML text; lines end with a bare newline."""
    scanner = _Scanner(text)
    return scanner.run(scanner.document)


def scan_json(text: str) -> Scan:
    """Find the places in a JSON text."""
    scanner = _Scanner(text)
    return scanner.run(scanner.value_alone)


# Possessive quantifiers: a string that never ends is refused in one pass.
_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*+)*+")
_KEY = re.compile(r"[A-Za-z0-9_-]++|\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}|"(?:[^"\\\n]|\\.)*+"'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{3,5}|'[^'\n]*+'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]\}\n#]++")
_LONG_ESCAPE = re.compile(r"\\(?:U([0-9A-Fa-f]{8})|.)")
_NUMBER = re.compile(r"[+-]?[0-9]")


class _Lost(Exception):
    """The text is neither TOML nor JSON from here on."""


class _Refused(Exception):
    """The text would hurt the parser."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._count = 0
        self._pairs: list[Entry] = []
        self._by_path: dict[Path, Entry] = {}

    def run(self, walk: Callable[[], None]) -> Scan:
        refusal = None
        try:
            walk()
        except _Refused as refused:
            refusal = refused.refusal
        except _Lost:
            pass
        return Scan(tuple(self._pairs), self._by_path, refusal)

    def document(self) -> None:
        """A TOML text: headers, and pairs under them."""
        table: Path = ()
        while self._skip(_BLANK):
            table = self._header() if self._take("[") else self._under(table)

    def value_alone(self) -> None:
        """A JSON text: one value."""
        self._skip(_BLANK)
        self._value((), self._at, 0)

    def _under(self, table: Path) -> Path:
        self._pair(table, 0)
        return table

    def _header(self) -> Path:
        self._take("[")  # [[x]]: an array of tables, which the schema has none of
        self._skip(_SPACE)
        start = self._at
        path = self._key((), start)
        self._note(Entry(path, start, start))
        self._need("]")
        self._take("]")
        return path

    def _pair(self, table: Path, depth: int) -> None:
        start = self._at
        path = self._key(table, start)
        if not self._take("="):
            self._skip(_BLANK)
            self._need(":")
        self._skip(_BLANK)
        self._value(path, start, depth)

    def _key(self, table: Path, start: int) -> Path:
        """A dotted key; what it passes through is known by its own name too."""
        path = (*table, self._part())
        while self._take("."):
            self._by_path.setdefault(path, Entry(path, start, start))
            self._skip(_SPACE)
            path = (*path, self._part())
            if len(path) - len(table) > MAX_PARTS:
                words = f"a key of more than {MAX_PARTS} parts"
                raise _Refused(Refusal(start, words))
        return path

    def _part(self) -> str:
        part = self._match(_KEY)
        self._skip(_SPACE)
        if part.startswith("'"):
            return part[1:-1]
        return _unquoted(part) if part.startswith('"') else part

    def _value(self, path: Path, key: int, depth: int) -> None:
        self._note(Entry(path, key, self._at))
        if depth > MAX_DEPTH:
            raise _Refused(Refusal(self._at, f"more than {MAX_DEPTH} brackets inside each other"))
        if self._take("["):
            self._array(path, depth + 1)
        elif self._take("{"):
            self._inline(path, depth + 1)
        elif self._text[self._at : self._at + 1] in ('"', "'"):
            self._match(_STRING)
        else:
            self._plain()

    def _plain(self) -> None:
        start = self._at
        word = self._match(_PLAIN).rstrip()
        if len(word) > MAX_NUMBER and _NUMBER.match(word):
            raise _Refused(Refusal(start, f"a number of more than {MAX_NUMBER} characters"))

    def _array(self, path: Path, depth: int) -> None:
        number = 0
        while self._skip(_BLANK) and not self._take("]"):
            self._value((*path, number), self._at, depth)
            number += 1
            if self._ends_with("]"):
                return

    def _inline(self, path: Path, depth: int) -> None:
        while self._skip(_BLANK) and not self._take("}"):
            self._pair(path, depth)
            if self._ends_with("}"):
                return

    def _ends_with(self, bracket: str) -> bool:
        """After an item: a comma and more to come, or the end."""
        self._skip(_BLANK)
        if self._take(","):
            return False
        self._need(bracket)
        return True

    def _note(self, entry: Entry) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _Refused(Refusal(entry.key, f"more than {MAX_VALUES} keys and values"))
        if entry.path and isinstance(entry.path[-1], str):
            self._pairs.append(entry)
        self._by_path[entry.path] = entry

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Move over what matches; says whether there is more text."""
        if found := pattern.match(self._text, self._at):
            self._at = found.end()
        return self._at < len(self._text)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _Lost
        self._at = found.end()
        return found[0]

    def _take(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            raise _Lost


def _unquoted(part: str) -> str:
    r"""A quoted key's name: JSON's, but for a bare tab and `\U0001F600`."""
    try:
        return json.decode(_LONG_ESCAPE.sub(_short, part).replace("\t", "\\t"), type=str)
    except DecodeError:
        return part


def _short(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else 0
    return json.encode(chr(code)).decode()[1:-1] if 0 < code <= sys.maxunicode else found[0]
