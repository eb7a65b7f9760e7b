"""`atoll.db`: what the daemon keeps of events, runs and services (DESIGN section 9).

SQLite in WAL mode with `synchronous=NORMAL`: what was committed survives the
death of the daemon, kill -9 included; only a power cut may take the last
moments (https://sqlite.org/wal.html). The file's `user_version` says which
steps of the schema it has had. A file that cannot be trusted is kept as
`atoll.db.broken-<n>` together with its -wal and -shm, and a new one is begun.
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

from atoll.errors import AtollError, ConfigError, Problem

STEPS = (
    """
    create table event (
        id integer primary key,
        unit text not null,
        happening text not null
    );
    create index event_unit on event (unit, id);
    """,
    """
    create table run (
        seq integer primary key autoincrement,
        id text not null unique,
        agent text not null,
        status text not null,
        batch text not null,
        item integer not null,
        ended real,
        row text not null
    );
    create index run_open on run (seq) where ended is null;
    create index run_ended on run (ended) where ended is not null;
    create index run_status on run (status, seq);
    create index run_agent on run (agent, seq);
    create index run_of_batch on run (batch, item) where batch <> '';
    create table run_plan (seq integer primary key, plan text not null);
    create table run_progress (seq integer primary key, progress text not null);
    create table run_step (
        seq integer not null, position integer not null, step text not null,
        primary key (seq, position)
    ) without rowid;
    create table run_event (
        seq integer not null, id integer not null, event text not null,
        primary key (seq, id)
    ) without rowid;
    create table run_key (
        key text primary key, digest text not null, target text not null
    ) without rowid;
    create index run_key_target on run_key (target);
    create table run_batch (id text primary key, batch text not null) without rowid;
    create table run_webhook (seq integer primary key);
    """,
    """
    create table if not exists service (id text primary key, record blob not null);
    """,
)
"""The schema: step n makes version n of version n - 1. A step that was released never changes."""

BUSY = 2.0
"""Seconds to wait for a person who looks into the file with a tool of their own."""

_BROKEN_FILE = frozenset((errno.EISDIR, errno.ELOOP, errno.EACCES, errno.ENXIO, errno.EINVAL))
_BROKEN_CONTENT = frozenset(
    (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,  # our few statements fit our schema, so this file has another
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    )
)
_SIDE_FILES = ("-wal", "-shm")

REFUSALS = (OSError, sqlite3.Error, MemoryError, UnicodeDecodeError)
"""What is raised for want of disk or memory; the last two also by a spoilt file.

SQLite believes what such a file says of a row's length, and quotes it in its messages.
"""

T = TypeVar("T")

Refill = Callable[[sqlite3.Connection, Path], None]
"""Writes into a new file what is still known; the path is that of the file that was set aside."""


class NotKept(AtollError):
    """The disk refuses: nothing is begun or told that could be lost."""

    code = "cannot_be_kept"
    status = 503


class Database:
    """The file and its one connection, for one thread; every call waits for the disk."""

    def __init__(self, path: Path, steps: Sequence[str] = STEPS) -> None:
        self.path = path
        self._steps = steps
        self._open: sqlite3.Connection | None = None
        self._warnings: list[str] = []
        self._refills: list[Refill] = []
        self._unfilled: list[tuple[Refill, Path]] = []
        self._aside: Path | None = None

    def use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` makes of the database; done once more when the file had to be replaced.

        Raises one of `REFUSALS` when the disk or the machine refuses (the next
        call tries again), ConfigError for a file of a newer ATOLL, which is
        left as it is.
        """
        try:
            return self._try(work)
        except REFUSALS as error:
            if not _is_broken(error, self.path):
                raise
            self._quarantine(error)
        return self._try(work)

    def when_replaced(self, refill: Refill) -> None:
        """Have a file that replaces a broken one refilled, before anything else is done with it.

        Also one that has replaced one already. What cannot be written now is
        written before the next use.
        """
        self._refills.append(refill)
        if self._aside is not None:
            self._unfilled.append((refill, self._aside))

    def take_warnings(self) -> list[str]:
        """What a person should know since this was asked last."""
        taken, self._warnings = self._warnings, []
        return taken

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        opened, self._open = self._open, None
        if opened is not None:
            with suppress(sqlite3.Error):
                opened.close()

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._open is None:
                self._open = _connect(self.path)
                _refuse_newer(self._open, self.path, self._steps)
                _prepare(self._open)
                migrate(self._open, self.path, self._steps)
            while self._unfilled:
                refill, aside = self._unfilled[0]
                refill(self._open, aside)
                del self._unfilled[0]
            return work(self._open)
        except BaseException:
            self.close()  # also takes back an unfinished transaction
            raise

    def _quarantine(self, error: Exception) -> None:
        name = self.path.name
        names = (f"{name}.broken-{number}" for number in count(1))
        aside = next(a for n in names if not os.path.lexists(a := self.path.with_name(n)))
        for end in _SIDE_FILES:
            with suppress(FileNotFoundError):
                self.path.with_name(name + end).rename(aside.with_name(aside.name + end))
        with suppress(FileNotFoundError):
            self.path.rename(aside)
        self._aside = aside
        self._unfilled = [(refill, aside) for refill in self._refills]
        self._warnings.append(
            f"{self.path} cannot be trusted ({reason_of(error)}); "
            f"kept as {aside.name}, going on with a new one"
        )


def migrate(db: sqlite3.Connection, path: Path, steps: Sequence[str] = STEPS) -> None:
    """Bring the schema up to date, each step whole or not at all; raises ConfigError if newer."""
    version = _refuse_newer(db, path, steps)
    for number, step in enumerate(steps[max(0, version) :], max(0, version) + 1):
        db.executescript(f"begin immediate; {step}; pragma user_version = {number}; commit")


def _refuse_newer(db: sqlite3.Connection, path: Path, steps: Sequence[str]) -> int:
    """The version of the schema; raises ConfigError for one that we do not know."""
    (version,) = db.execute("pragma user_version").fetchone()
    if version > len(steps):
        message = f"was written by a newer ATOLL (schema {version}, this one knows {len(steps)})"
        hint = "upgrade ATOLL, or choose another --state-dir"
        raise ConfigError(Problem(file=str(path), message=message, hint=hint))
    return int(version)


def reason_of(error: Exception) -> str:
    """A person's words for it: without the errno that str puts in front."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__


def _connect(path: Path) -> sqlite3.Connection:
    _claim(path)
    db = sqlite3.connect(path, BUSY, isolation_level=None)
    db.text_factory = bytes
    return db


def _prepare(db: sqlite3.Connection) -> None:
    """Only what is ours to write to: the mode of the journal is noted in the file."""
    db.execute("pragma cell_size_check = on")  # a spoilt page is found when it is read
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")


def _claim(path: Path) -> None:
    """Make the file ours alone (0600, and so its -wal and -shm), or say plainly why not."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def _is_broken(error: Exception, path: Path) -> bool:
    """Whether it is the file that is wrong, and not the disk or the moment."""
    if isinstance(error, OSError):
        return error.errno in _BROKEN_FILE
    if isinstance(error, MemoryError | UnicodeDecodeError):
        return not _is_sound(path)
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    # The file could be opened for writing, so "read only" is what its first page says.
    return code == sqlite3.SQLITE_READONLY or code & 0xFF in _BROKEN_CONTENT


def _is_sound(path: Path) -> bool:
    try:
        with closing(_connect(path)) as db:
            return db.execute("pragma quick_check(1)").fetchall() == [(b"ok",)]
    except REFUSALS:
        return False
