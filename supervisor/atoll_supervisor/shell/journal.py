"""`fleet.toml`: what the daemon must remember about its units (DESIGN section 9).

The file is replaced as a whole, with the previous generation beside it
(`fleet.toml.1`). A checksum over the meaning, not the spelling, finds a file
that was cut short or changed behind our back even where it is still TOML. What
cannot be trusted is kept as `fleet.toml.broken-<n>` and never overwritten by
something empty (PM2's bug: faults.md section 6).
"""

import hashlib
import os
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import tomli_w
from msgspec import Struct

from atoll.errors import ConfigError, Problem
from atoll_supervisor.shell.files import sync_directory, write_beside

VERSION = 1


class UnitRecord(Struct, frozen=True, kw_only=True):
    """One unit: its sticky port (0 = none yet) and what the operator wants it to be."""

    port: int = 0
    desired: Literal["running", "stopped"] = "running"


class FleetRecord(Struct, frozen=True, kw_only=True):
    """Everything in the file: the units by slug, and the back end of agents that name none.

    The latter is for a daemon that finds agents running: they go on with it.
    """

    units: dict[str, UnitRecord] = {}
    default_llm: str = ""


class Recovered(Struct, frozen=True):
    """What was loaded, and what a person should know about how."""

    record: FleetRecord
    warnings: tuple[str, ...] = ()


class _File(Struct, frozen=True, kw_only=True):
    version: int
    checksum: str
    units: dict[str, UnitRecord] = {}
    default_llm: str = ""


class _Version(Struct, frozen=True):
    version: int


class Journal:
    """Loads and saves `fleet.toml`, in plain calls that wait for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.previous = path.with_name(f"{path.name}.1")
        self.degraded = ""

    def load(self) -> Recovered:
        """The newest generation that can be trusted; nothing at all on a first start.

        Raises ConfigError for a file of a newer ATOLL, which is left as it is.
        """
        warnings: list[str] = []
        for path in (self.path, self.previous):
            if not os.path.lexists(path):
                continue
            try:
                return Recovered(_read(path), tuple(warnings))
            except (OSError, ValueError) as error:
                warnings.append(self._quarantine(path, error))
        return Recovered(FleetRecord(), tuple(warnings))

    def save(self, record: FleetRecord) -> bool:
        """Store a new generation; on failure the old one stays and `degraded` says why."""
        try:
            fresh = write_beside(self.path, _encode(record))
        except OSError as error:
            return self._failed(error)
        try:
            self._keep_previous()
            fresh.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            return self._failed(error)
        self.degraded = ""
        return True

    def _keep_previous(self) -> None:
        """Give the current generation its second name; it is never without a name."""
        beside = self.previous.with_name(f"{self.previous.name}.tmp")
        beside.unlink(missing_ok=True)
        try:
            beside.hardlink_to(self.path)
        except FileNotFoundError:
            return
        beside.replace(self.previous)

    def _failed(self, error: OSError) -> bool:
        self.degraded = f"cannot write {self.path}: {error.strerror}"
        return False

    def _quarantine(self, path: Path, error: Exception) -> str:
        names = (f"{self.path.name}.broken-{number}" for number in count(1))
        aside = next(a for n in names if not os.path.lexists(a := self.path.with_name(n)))
        path.rename(aside)
        return f"{path} cannot be trusted ({error}); kept as {aside.name}, going on without it"


def _encode(record: FleetRecord) -> bytes:
    header = {"version": VERSION, "checksum": _checksum(record)}
    return tomli_w.dumps(header | _plain(record)).encode()


def _read(path: Path) -> FleetRecord:
    """Raises OSError, ValueError (which msgspec's errors are), ConfigError."""
    data = path.read_bytes()
    version = msgspec.toml.decode(data, type=_Version).version
    if version > VERSION and not _is_ours(data):
        message = (
            f"was written by a newer ATOLL (state version {version}, this one knows {VERSION})"
        )
        hint = "upgrade ATOLL, or choose another --state-dir"
        raise ConfigError(Problem(file=str(path), message=message, hint=hint))
    file = msgspec.toml.decode(data, type=_File)
    record = FleetRecord(units=file.units, default_llm=file.default_llm)
    if file.checksum != _checksum(record):
        raise ValueError("its checksum does not fit its content")
    if version > VERSION:
        raise ValueError("its version is damaged")
    return record


def _is_ours(data: bytes) -> bool:
    """Whether all but the version is as we write it: then the disk changed that, no newer ATOLL."""
    try:
        file = msgspec.toml.decode(data, type=_File)
    except ValueError:
        return False
    return file.checksum == _checksum(FleetRecord(units=file.units, default_llm=file.default_llm))


def _checksum(record: FleetRecord) -> str:
    text = msgspec.json.encode(_plain(record), order="sorted")
    return "sha256:" + hashlib.sha256(text).hexdigest()


def _plain(record: FleetRecord) -> dict[str, object]:
    """What older files did not hold is left out while it says nothing: their checksum stays."""
    units = {name: msgspec.to_builtins(unit) for name, unit in sorted(record.units.items())}
    more = {"default_llm": record.default_llm} if record.default_llm else {}
    return {**more, "units": units}
