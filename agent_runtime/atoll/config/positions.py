"""Where in a TOML text each key and each value stands.

msgspec names a mistake by its path and tomllib forgets places, so this small
scanner walks the text once more. It only ever sees what tomllib has accepted,
and so needs no error handling of its own.
"""

import re
from typing import NamedTuple

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


class Places(NamedTuple):
    """The places of keys (or table headers) and of values, by path."""

    keys: dict[Path, Place]
    values: dict[Path, Place]

    def of_key(self, path: Path) -> Place:
        """The key's place, or that of the nearest table around it."""
        return _nearest(self.keys, path)

    def of_value(self, path: Path) -> Place:
        """The value's place, else its key's."""
        return self.values.get(path) or self.of_key(path)


def places_of(text: str) -> Places:
    """Scan a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return Places(scanner.keys, scanner.values)


def _nearest(places: dict[Path, Place], path: Path) -> Place:
    while path:
        if path in places:
            return places[path]
        path = path[:-1]
    return Place(1, 1)


_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]\}\n#]*")
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\(.)")
_LETTERS = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class _Scanner:
    def __init__(self, text: str) -> None:
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._counts: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._skip(_BLANK):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        start = self._at
        double = self._text.startswith("[[", start)
        self._at += 2 if double else 1
        path = self._resolved(self._key())
        self._at += 2 if double else 1
        if double:
            index = self._counts[path] = self._counts.get(path, -1) + 1
            path = (*path, index)
        self.keys.setdefault(path, self._place(start))
        return path

    def _resolved(self, parts: tuple[str, ...]) -> Path:
        """The path a header means: inside the newest element of each array of tables."""
        path: Path = ()
        for number, part in enumerate(parts):
            path = (*path, part)
            if path in self._counts and number < len(parts) - 1:
                path = (*path, self._counts[path])
        return path

    def _pair(self, table: Path) -> None:
        place = self._place(self._at)
        path = table
        for part in self._key():
            path = (*path, part)
            self.keys.setdefault(path, place)
        self._at += 1  # the =
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            parts.append(self._key_part())
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _key_part(self) -> str:
        if self._text[self._at] in "\"'":
            return self._string()
        found = _BARE.match(self._text, self._at)
        word = found[0] if found else ""
        self._at += max(1, len(word))
        return word

    def _value(self, path: Path) -> None:
        self.values[path] = self._place(self._at)
        match self._text[self._at : self._at + 1]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                self._skip(_PLAIN)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip(_BLANK) and self._text[self._at] != "]":
            self._value((*path, index))
            index += 1
            self._comma()
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._skip(_BLANK) and self._text[self._at] != "}":
            self._pair(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        self._skip(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1

    def _string(self) -> str:
        quote = self._text[self._at]
        mark = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        start = self._at + len(mark)
        end = start
        while not self._text.startswith(mark, end):
            end += 2 if quote == '"' and self._text[end] == "\\" else 1
        self._at = end + len(mark)
        while len(mark) > 1 and self._text.startswith(quote, self._at):
            self._at += 1  # up to two more quotes belong to the string
        text = self._text[start:end]
        return _ESCAPE.sub(_unescaped, text) if quote == '"' else text

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Move over what matches; says whether there is more text."""
        if found := pattern.match(self._text, self._at):
            self._at = found.end()
        return self._at < len(self._text)

    def _place(self, at: int) -> Place:
        start = self._text.rfind("\n", 0, at) + 1
        return Place(self._text.count("\n", 0, at) + 1, at - start + 1)


def _unescaped(found: re.Match[str]) -> str:
    if code := found[1] or found[2]:
        return chr(int(code, 16))
    return _LETTERS.get(found[3], found[3])
