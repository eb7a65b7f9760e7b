"""The line of a mistake with a caret under the place.

4 | temprature = 0.2
  | ^
"""

from bisect import bisect_left

from atoll.config.positions import Scan
from atoll.config.secrecy import secret_path, secret_text

WIDTH = 100
"""Columns of a line that are shown."""
_BEFORE = 60


class Excerpts:
    """The lines of one file, each judged once."""

    def __init__(self, text: str, scan: Scan) -> None:
        self._text = text
        self._pairs = scan.pairs
        self._keys = [pair.key for pair in scan.pairs]
        self._shown: dict[int, str] = {}

    def at(self, offset: int) -> tuple[int, int, str]:
        """Line and column of an offset, from 1, and the line with a caret.

        The excerpt is "" where the line could show a secret.
        """
        start = self._text.rfind("\n", 0, offset) + 1
        number = self._text.count("\n", 0, start) + 1
        if start not in self._shown:
            self._shown[start] = self._line(start)
        line = self._shown[start]
        return number, offset - start + 1, _drawn(number, line, offset - start) if line else ""

    def _line(self, start: int) -> str:
        """The line that begins here, or "" when it must not be shown."""
        end = self._text.find("\n", start)
        end = len(self._text) if end < 0 else end
        first, last = bisect_left(self._keys, start), bisect_left(self._keys, end)
        if first and not self._begins_line(start, first, last):
            first -= 1  # the value of an earlier pair goes on into this line
        owners = self._pairs[first:last]
        region = self._text[min([start, *self._keys[first : first + 1]]) : end]
        if secret_text(region) or any(secret_path(pair.path) for pair in owners):
            return ""
        return self._text[start:end].rstrip()

    def _begins_line(self, start: int, first: int, last: int) -> bool:
        """Whether the line's first pair is also the first thing on it."""
        return first < last and not self._text[start : self._keys[first]].strip(" \t[")


def _drawn(number: int, line: str, column: int) -> str:
    first = max(0, column - _BEFORE)
    piece = "".join(char if char.isprintable() else " " for char in line[first : first + WIDTH])
    gutter = " " * len(str(number))
    return f"  {number} | {piece}\n  {gutter} | {' ' * (column - first)}^"
