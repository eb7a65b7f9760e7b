"""The folders of an agent's jobs; each belongs to the relay that holds its lock.

A relay that was killed holds no lock any more (flock(2)), so the next one finds
every job that nobody cares for, whatever was written down before the end.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from atoll.adapters.private import private_directory
from atoll_supervisor.core.agent_job import JobRecord
from atoll_supervisor.shell.services.written import last_of

_RECORD, _LOCK = "job.json", "lock"


class Claim:
    """A job's folder, ours until it is released, removed, or this process ends."""

    def __init__(self, folder: Path, lock: int, record: JobRecord) -> None:
        self.folder = folder
        self.record = record
        self._lock = lock

    def write(self, record: JobRecord) -> None:
        """Remember this of the job; raises OSError."""
        fresh = self.folder / f"{_RECORD}.new"
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(self.folder / _RECORD)
        self.record = record

    def read(self, name: str, most: int = 65_536) -> str:
        """The end of one of its files, "" when there is none."""
        return last_of(self.folder / name, most)

    def release(self) -> None:
        """Leave the job to whoever comes next."""
        os.close(self._lock)

    def remove(self) -> None:
        """The job is over."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def claim_new(root: Path, record: JobRecord) -> Claim:
    """A folder for a job to come; raises OSError, ConfigError.

    It comes into sight only when it is locked, so nobody takes it for a left one.
    """
    hidden = private_directory(root) / f".{record.uuid}"
    hidden.mkdir(mode=0o700)
    (hidden / _LOCK).touch(mode=0o600)
    lock = _locked(hidden)
    if lock is None:
        raise BlockingIOError(f"{hidden} is locked by another process")
    claim = Claim(hidden, lock, record)
    try:
        claim.write(record)
        claim.folder = hidden.rename(root / record.uuid)
    except OSError:
        claim.remove()  # a full disk is tried again and again
        raise
    return claim


def claims_left(root: Path) -> list[Claim]:
    """The jobs whose relays are gone, the newest first."""
    return sorted(_left(root), key=lambda claim: claim.folder.stat().st_ctime, reverse=True)


def _left(root: Path) -> Iterator[Claim]:
    for path in root.glob("[!.]*/" + _RECORD):
        lock = _locked(path.parent)
        if lock is None:
            continue
        try:
            record = msgspec.json.decode(path.read_bytes(), type=JobRecord)
        except (OSError, msgspec.MsgspecError):
            os.close(lock)  # just removed by its owner, or nothing of ours
        else:
            yield Claim(path.parent, lock, record)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock, None when somebody else does."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    os.close(lock)
    return None
