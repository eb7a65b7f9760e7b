"""A file that a person wrote: its bytes, its text, what it says and where it says it.

Nothing that is read here can block or exhaust the process: the file is small
and regular, and what the parsers do not survive is refused before
(`positions`). Every refusal is a ConfigError with a place.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path as FilePath
from types import MappingProxyType

import msgspec
from msgspec import Struct

from atoll.config.excerpts import Excerpts
from atoll.config.positions import Path, Scan, scan_json, scan_toml
from atoll.config.suggest import shown
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject, JsonValue

MAX_BYTES = 64 * 1024
MAX_PROBLEMS = 100
"""Told of one file; that there are more is told too."""


class Fault(Struct, frozen=True, kw_only=True):
    """One mistake in what a file says; `at_key` when the key is wrong, else its value is."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


Origins = Mapping[Path, Path]
"""Our path -> the path that the file uses, where they differ."""
_AS_WRITTEN: Origins = MappingProxyType({})


class Document(Struct, frozen=True):
    """A file that was parsed. `data` may hold dates: they are no JSON and fit no key."""

    file: str
    text: str
    data: JsonObject
    scan: Scan

    def problems(self, faults: Iterable[Fault], origins: Origins = _AS_WRITTEN) -> list[Problem]:
        """The mistakes with their places, from the top of the file to its end."""
        every = iter(faults)
        lines = Excerpts(self.text, self.scan)
        told = islice(every, MAX_PROBLEMS)
        found = [self._problem(fault, written(fault.path, origins), lines) for fault in told]
        found.sort(key=lambda problem: (problem.line, problem.column))
        if any(True for _ in every):
            found.append(Problem(file=self.file, message="holds more mistakes than are told"))
        return found

    def _problem(self, fault: Fault, path: Path, lines: Excerpts) -> Problem:
        message = fault.message if fault.at_key else f"`{dotted(path)}`: {fault.message}"
        entry = self.scan.nearest(path)
        if entry is None:
            return Problem(file=self.file, message=message, line=1, column=1, hint=fault.hint)
        exact = entry.path == path and not fault.at_key
        line, column, excerpt = lines.at(entry.value if exact else entry.key)
        return Problem(
            file=self.file,
            message=message,
            line=line,
            column=column,
            hint=fault.hint,
            excerpt=excerpt,
        )


def is_there(path: FilePath) -> bool:
    """Whether there is such a file for us; one in a folder we may not enter is not there."""
    try:
        return path.exists()
    except OSError:
        return False


def read_file(path: FilePath, name: str, most: int = MAX_BYTES) -> bytes:
    """The bytes of a small regular file; raises ConfigError. A FIFO is not waited for."""
    try:
        _check_regular(path.stat(), name, most)
        # It may be another file by now: O_NONBLOCK opens even a FIFO at once (open(2)).
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check_regular(os.fstat(file.fileno()), name, most)
            return file.read(most)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError(Problem(file=str(path), message=message)) from error


def _check_regular(status: os.stat_result, name: str, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(Problem(file=name, message="is not a regular file"))
    if status.st_size > most:
        message = f"is {status.st_size} bytes long, at most {most} are read"
        raise ConfigError(Problem(file=name, message=message))


def parse_toml(file: str, data: bytes) -> Document:
    """Parse a TOML file; raises ConfigError with the place of the first mistake."""
    text = _text(file, data).replace("\r\n", "\n")
    scan = scan_toml(text)
    _check_survivable(file, text, scan)
    try:
        return Document(file, text, tomllib.loads(text), scan)
    except (ValueError, RecursionError) as error:
        words, offset = _toml_fault(text, str(error), scan)
        raise _refused(file, text, offset, f"is not valid TOML: {words}", scan) from error


def parse_json(file: str, data: bytes) -> Document:
    """Parse a JSON object; raises ConfigError with the place of the first mistake."""
    text = _text(file, data)
    scan = scan_json(text)
    _check_survivable(file, text, scan)
    try:
        value: JsonValue = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        words, offset = _json_fault(data, str(error))
        raise _refused(file, text, offset, f"is not valid JSON: {words}", scan) from error
    if not isinstance(value, dict):
        raise _refused(file, text, 0, "must be a JSON object: {…}", scan)
    return Document(file, text, value, scan)


def written(path: Path, origins: Origins) -> Path:
    """The path in the file's own spelling."""
    for length in range(len(path), 0, -1):
        if origin := origins.get(path[:length]):
            return (*origin, *path[length:])
    return path


def dotted(path: Path) -> str:
    """`mcp_servers.files.args[2]`."""
    words = [f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in path]
    return "".join(words).removeprefix(".")


def _text(file: str, data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problem = Problem(file=file, message="is not UTF-8 text", line=line, column=column)
        raise ConfigError(problem) from error
    if text.startswith("\ufeff"):
        message = "begins with a byte order mark: save it as UTF-8 without one"
        raise ConfigError(Problem(file=file, message=message, line=1, column=1))
    return text


def _check_survivable(file: str, text: str, scan: Scan) -> None:
    if scan.refusal:
        raise _refused(file, text, scan.refusal.offset, f"holds {scan.refusal.words}", scan)


def _refused(file: str, text: str, offset: int, message: str, scan: Scan) -> ConfigError:
    line, column, excerpt = Excerpts(text, scan).at(min(offset, len(text)))
    return ConfigError(
        Problem(file=file, message=message, line=line, column=column, excerpt=excerpt)
    )


_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_QUOTES = re.compile(r"\"\"\"|'''|[\"']")
_JSON_PLACE = re.compile(r" \(byte (\d+)\)$")


def _toml_fault(text: str, said: str, scan: Scan) -> tuple[str, int]:
    """tomllib's words and their offset: on 3.11 the place stands in the text alone."""
    found = _TOML_PLACE.search(said)
    words = _lowered(said[: found.start()] if found else said)
    if found is None or found[1] is None:
        return words, _left_open(text, scan)
    start = 0
    for _ in range(int(found[1]) - 1):
        start = text.index("\n", start) + 1
    return words, start + int(found[2]) - 1


def _left_open(text: str, scan: Scan) -> int:
    """Where the string begins that nothing ends; else the end of the text."""
    start = scan.pairs[-1].value if scan.pairs else len(text)
    quotes = _QUOTES.match(text, start)
    return start if quotes and text.find(quotes[0], quotes.end()) < 0 else len(text)


def _json_fault(data: bytes, said: str) -> tuple[str, int]:
    """msgspec's words and their offset in characters; where it names none, the end."""
    found = _JSON_PLACE.search(said)
    words = said.removeprefix("JSON is malformed: ").partition(" (byte")[0]
    at = int(found[1]) if found else len(data)
    return _lowered(words.partition(" - at `")[0]), len(data[:at].decode(errors="ignore"))


def _lowered(words: str) -> str:
    return f"{words[:1].lower()}{words[1:200]}"
