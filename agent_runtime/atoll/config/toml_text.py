"""Guards in front of tomllib, and its errors with a place.

tomllib of Python 3.11 has no limits: deep nesting ends in a RecursionError, a
key of 20,000 dots blocks for 9 s, and positions stand only in the text of its
message (attacks.md 0.2 and 0.3).
"""

import re
import tomllib

from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
MAX_DOTS = 16

_AT = re.compile(r"\(at line (\d+), column (\d+)\)")
_STRINGS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*')


def parse_toml(file: str, data: bytes) -> tuple[str, JsonObject]:
    """The text and what it says; raises ConfigError with the place of the first mistake."""
    if len(data) > MAX_BYTES:
        raise _wrong(file, f"is {len(data)} bytes long, at most {MAX_BYTES} are read")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise _wrong(file, "is not UTF-8", line, column) from error
    if text.startswith("\ufeff"):
        raise _wrong(file, "begins with a byte order mark; save it without one", 1, 1)
    _check_depth(file, text)
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(file, text, str(error)) from error
    except (ValueError, RecursionError) as error:  # a 5,000-digit number; nesting that hid itself
        raise _wrong(file, "holds a number or a nesting that is too large") from error


def _check_depth(file: str, text: str) -> None:
    """Refuse bombs before they reach the parser; strings and comments do not count."""
    depth = 0
    for number, line in enumerate(_STRINGS.sub('""', text).splitlines(), start=1):
        key = line.partition("=")[0]
        if key.count(".") > MAX_DOTS:
            raise _wrong(file, f"has a key of more than {MAX_DOTS} parts", number, 1)
        for column, char in enumerate(line, start=1):
            depth += (char in "[{") - (char in "]}")
            if depth > MAX_DEPTH:
                raise _wrong(file, f"is nested deeper than {MAX_DEPTH} levels", number, column)


def _syntax(file: str, text: str, message: str) -> ConfigError:
    said = _AT.search(message)
    words = _AT.sub("", message).strip().rstrip(".")
    if said:
        line, column = int(said[1]), int(said[2])
    else:  # "(at end of document)"
        line, column = len(text.splitlines()) or 1, 1
        words = words.replace(" (at end of document)", ": the file ends too early")
    return ConfigError(
        Problem(
            file=file,
            line=line,
            column=column,
            message=f"not valid TOML: {words[:1].lower()}{words[1:]}",
            excerpt=excerpt(text, line, column),
        )
    )


_SECRET = re.compile(r"key|token|secret|password|passwd|auth|cookie|env|headers", re.IGNORECASE)


def excerpt(text: str, line: int, column: int, path: tuple[str | int, ...] = ()) -> str:
    """The line with a caret under the place, or "" where it could show a secret."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return ""
    source = lines[line - 1]
    if _SECRET.search(source) or any(_SECRET.search(str(part)) for part in path):
        return ""
    shown = "".join(char if char.isprintable() else " " for char in source)
    start = max(0, column - 60)
    return f"  {shown[start : start + 100]}\n  {' ' * (column - 1 - start)}^"


def _wrong(file: str, message: str, line: int = 0, column: int = 0) -> ConfigError:
    return ConfigError(Problem(file=file, message=message, line=line, column=column))
