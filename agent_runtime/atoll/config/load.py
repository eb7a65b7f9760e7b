"""Reads one manifest: bytes in, a `Loaded` or every mistake with its place out."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath

import msgspec
from msgspec import Struct

from atoll.config.expand import Missing, expanded
from atoll.config.legacy import document_of_agent_json
from atoll.config.manifest import Manifest
from atoll.config.positions import Path, Places, places_of
from atoll.config.spellings import Origins, respelled
from atoll.config.toml_text import MAX_BYTES, excerpt, parse_toml
from atoll.config.validate import Fault, faults_of
from atoll.errors import ConfigError, Problem
from atoll.wire.json import JsonObject


class Loaded(Struct, frozen=True, kw_only=True):
    """A manifest that was read.

    `checksum` is the SHA-256 of the file's bytes, hexadecimal. `given` are the
    dotted paths of the keys that the file really sets.
    """

    manifest: Manifest
    path: FilePath
    checksum: str
    given: frozenset[str] = frozenset()


def load_manifest(path: FilePath, environ: Mapping[str, str]) -> Loaded:
    """Read `agent.toml` or a legacy `agent.json`; raises ConfigError with every mistake."""
    data = _read(path)
    if path.suffix == ".json":
        text, document, places = "", document_of_agent_json(path, data), Places({}, {})
    else:
        text, document = parse_toml(path.name, data)
        places = places_of(text)
    manifest = _checked(_File(path.name, text, places), document, environ)
    checksum = hashlib.sha256(data).hexdigest()
    return Loaded(
        manifest=manifest, path=path, checksum=checksum, given=frozenset(_given(document, ""))
    )


class _File(Struct, frozen=True):
    name: str
    text: str
    places: Places

    def problem(self, fault: Fault) -> Problem:
        """The mistake with its place; a file without places tells the key instead."""
        if not self.text:
            key = ".".join(str(part) for part in fault.path)
            return Problem(file=self.name, message=f"{key}: {fault.message}", hint=fault.hint)
        of = self.places.of_key if fault.at_key else self.places.of_value
        place = of(fault.path)
        return Problem(
            file=self.name,
            message=fault.message,
            line=place.line,
            column=place.column,
            hint=fault.hint,
            excerpt=excerpt(self.text, place.line, place.column, fault.path),
        )


def _read(path: FilePath) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            message = f"is {path.stat().st_size} bytes long, at most {MAX_BYTES} are read"
            raise ConfigError(Problem(file=path.name, message=message))
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError(Problem(file=str(path), message=message)) from error


def _checked(file: _File, document: JsonObject, environ: Mapping[str, str]) -> Manifest:
    missing: Missing = []
    ours, origins = respelled(document)
    value = expanded(ours, environ, missing)
    assert isinstance(value, dict)
    faults = [*faults_of(value), *map(_unset, missing)]
    if faults:
        written = (_as_written(fault, origins) for fault in faults)
        problems = sorted((file.problem(fault) for fault in written), key=_order)
        raise ConfigError(*problems)
    return msgspec.convert(value, Manifest)


def _unset(missing: tuple[Path, str]) -> Fault:
    path, name = missing
    hint = f"set {name}, or write $$ for a dollar"
    return Fault(path=path, message=f"the variable {name} is not set", hint=hint)


def _as_written(fault: Fault, origins: Origins) -> Fault:
    return msgspec.structs.replace(fault, path=origins.get(fault.path, fault.path))


def _order(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _given(table: JsonObject, prefix: str) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _given(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
