"""Sessions in SQLite: one file per agent, written before a turn is acknowledged.

WAL with `synchronous=NORMAL`: a committed write survives the death of the
process, kill -9 included; only a power cut may take the last ones. Expiry is
exact on use: a session past its time is unknown, swept or not (KW5). The disk
is bounded: each save sweeps, and so does opening the file.

WAL needs memory that all users of the file share, so on several machines it does not work
(https://sqlite.org/wal.html). A file that jobs on a cluster's nodes use has a rollback
journal instead, which needs file locks alone, and keeps it.

Without sessions there is neither a file, nor a connection, nor a thread: in a
forked agent that nobody talks to they were a sixth of its memory.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from atoll.errors import AgentError, TooLarge
from atoll.ports import Clock, SessionInfo
from atoll.wire.memory import ONE_ANSWER, Memory, Summary
from atoll.wire.messages import Message

MAX_SESSIONS = 1000
"""When there are more, those of one answer go first, then the longest unused (FR-S008)."""
MAX_SESSION_BYTES = 1024 * 1024
"""Bytes of one stored conversation; a longer one is not kept."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of all stored conversations of an agent; the longest unused go first when over it."""
_BUSY = 2.0
"""Seconds to wait for another process that writes to the file."""
_TAKE_OVER, _AGAIN = 10.0, 0.1
"""Seconds to wait for a process that has the file open in WAL, and between two tries."""

_SCHEMA = """
create table if not exists session (
    id text primary key,
    used_at real not null,
    messages blob not null,
    created_at real not null default 0,
    length integer not null default 0,
    summary text not null default '',
    covers integer not null default 0,
    tried integer not null default 0,
    tokens integer not null default 0
) without rowid;
create index if not exists session_used_at on session (used_at);
"""
_LATER = {
    "created_at": "real not null default 0",
    "length": "integer not null default 0",
    "summary": "text not null default ''",
    "covers": "integer not null default 0",
    "tried": "integer not null default 0",
    "tokens": "integer not null default 0",
}
"""Columns that the first files did not have; `length` counts messages, `covers` the summed up."""
_STORE = """
insert into session (id, used_at, messages, created_at, length, summary, covers, tried, tokens)
values (?1, ?2, ?3, ?2, ?4, ?5, ?6, ?7, ?8)
on conflict (id) do update set used_at = ?2, messages = ?3, length = ?4,
    summary = ?5, covers = ?6, tried = ?7, tokens = ?8
"""
_NOTE = """
update session set summary = ?, covers = ?, tried = ?, tokens = ? where id = ? and used_at > ?
"""
_RECALL = """
select messages, summary, covers, tried, tokens from session where id = ? and used_at > ?
"""
_ABOUT = "select id, created_at, used_at, length, tokens from session where used_at > ?"
_SIZE = "select count(*), sum(length(messages)) from session"
_SHRINK = """
delete from session where id in (
    select id from (
        select id, row_number() over oldest_last as place,
            sum(length(messages)) over oldest_last as bytes
        from session
        window oldest_last as (order by id = ? desc, id glob ?, used_at desc, id)
    ) where place > ? or bytes > ?
)
"""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[Message, ...])

T = TypeVar("T")


class SqliteSessions:
    """The SessionStore port over one SQLite file. `timeout` in seconds.

    SQLite waits for disks and for other processes, so it has a thread of its
    own and never holds up the event loop. The file is made by the first save.
    Every method raises AgentError when the file cannot be used; so does the
    constructor, where there is one already. A file that is only busy is opened
    by whoever needs it next; so is one `across_machines`.
    """

    def __init__(
        self, path: Path, timeout: float, clock: Clock, *, across_machines: bool = False
    ) -> None:
        self._across = across_machines
        self._path = path
        self._timeout = timeout
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._made: ThreadPoolExecutor | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_kept() and not across_machines:
                self._thread.submit(_unless_busy, self._opened).result()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise AgentError(
                f"the sessions cannot be kept in {path}: {_reason(error)}; "
                "move that file away, or set ATOLL_STATE_DIR to a directory of your own"
            ) from None

    async def load(self, session_id: str) -> tuple[Message, ...] | None:
        """The messages of a live session, or None; reading does not extend its life."""
        memory = await self.recall(session_id)
        return None if memory is None else memory.messages

    async def save(self, session_id: str, messages: Sequence[Message]) -> None:
        """Keep a conversation of which nothing but the messages is to be remembered."""
        await self.keep(session_id, Memory(messages=tuple(messages)))

    async def recall(self, session_id: str) -> Memory | None:
        """All that is remembered of a live session, or None."""
        found = (session_id, self._expired_before())
        row = await self._run_if_kept(lambda db: db.execute(_RECALL, found).fetchone())
        return None if row is None else _memory(row)

    async def keep(self, session_id: str, memory: Memory) -> None:
        """Store it all; on disk when this returns. TooLarge when it is too long."""
        encoded = _ENCODER.encode(memory.messages)
        if len(encoded) > MAX_SESSION_BYTES:
            raise TooLarge(f"a conversation over {MAX_SESSION_BYTES} bytes is not kept")
        await self._run(lambda db: self._store(db, session_id, encoded, memory))

    async def note(self, session_id: str, memory: Memory) -> None:
        """Store its summary and its tokens in one write, where it is still alive."""
        noted = (*_beside(memory), session_id, self._expired_before())
        await self._run_if_kept(lambda db: db.execute(_NOTE, noted))

    async def about(self, session_id: str) -> SessionInfo | None:
        """What is known of a live session, or None."""
        found = (self._expired_before(), session_id)
        query = f"{_ABOUT} and id = ?"
        row = await self._run_if_kept(lambda db: db.execute(query, found).fetchone())
        return None if row is None else _info(row)

    async def listed(self) -> tuple[SessionInfo, ...]:
        """Every live session, the last used first."""
        alive = (self._expired_before(),)
        query = f"{_ABOUT} order by used_at desc, id"
        rows = await self._run_if_kept(lambda db: db.execute(query, alive).fetchall())
        return tuple(_info(row) for row in rows or ())

    async def delete(self, session_id: str) -> bool:
        """Forget a session; False when there is no such live one."""
        found = (session_id, self._expired_before())
        query = "delete from session where id = ? and used_at > ?"
        return bool(await self._run_if_kept(lambda db: db.execute(query, found).rowcount))

    async def count(self) -> int:
        """How many sessions are alive."""
        query = "select count(*) from session where used_at > ?"
        alive = (self._expired_before(),)
        row = await self._run_if_kept(lambda db: db.execute(query, alive).fetchone())
        return 0 if row is None else int(row[0])

    async def cleanup(self) -> int:
        """Delete the expired sessions and say how many they were."""
        return await self._run_if_kept(self._sweep) or 0

    def close(self) -> None:
        """Close the file, after what is still being written."""
        if self._made is not None:
            self._made.submit(self._close)
            self._made.shutdown()

    @property
    def _thread(self) -> ThreadPoolExecutor:
        """The one thread that knows the connection."""
        if self._made is None:
            self._made = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sessions")
        return self._made

    def _is_kept(self) -> bool:
        """Whether there are or were sessions; another process may have made the file."""
        try:
            return self._db is not None or self._path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, _BUSY, isolation_level=None)
        try:
            if self._across:
                _leave_wal(db)
            else:
                _use_wal(db)
            db.executescript(_SCHEMA)
            _add_later_columns(db)
            _unless_busy(lambda: self._sweep(db))
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _store(
        self, db: sqlite3.Connection, session_id: str, encoded: bytes, memory: Memory
    ) -> None:
        row = (session_id, self._clock.now(), encoded, len(memory.messages), *_beside(memory))
        db.execute("begin immediate")
        with db:  # commits, or takes it all back
            self._sweep(db)  # first: a session that has expired leaves nothing to a new one
            db.execute(_STORE, row)
            count, size = db.execute(_SIZE).fetchone()
            if count > MAX_SESSIONS or size > MAX_BYTES:  # to put them in order takes 40 times that
                db.execute(_SHRINK, (session_id, f"{ONE_ANSWER}*", MAX_SESSIONS, MAX_BYTES))

    def _sweep(self, db: sqlite3.Connection) -> int:
        query = "delete from session where used_at <= ?"
        return db.execute(query, (self._expired_before(),)).rowcount

    async def _run_if_kept(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Without a file there is nothing to look for."""
        return await self._run(work) if self._is_kept() else None

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, lambda: work(self._opened()))
        except sqlite3.Error as error:
            raise AgentError(f"the sessions in {self._path} failed: {error}") from error

    def _expired_before(self) -> float:
        return self._clock.now() - self._timeout


def _use_wal(db: sqlite3.Connection) -> None:
    """But for a file that jobs have made or changed: some of them may still be there."""
    if not db.execute("select count(*) from sqlite_master").fetchone()[0]:
        # Whoever holds it writes the first session, and it stays what they made it.
        _unless_busy(lambda: db.execute("pragma journal_mode = wal"))
    db.execute("pragma synchronous = normal")


def _leave_wal(db: sqlite3.Connection) -> None:
    """Wait for processes of the fleet's own machine, which it takes over from, to close it."""
    until = time.monotonic() + _TAKE_OVER
    while True:
        try:
            db.execute("pragma journal_mode = truncate")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN)


def _add_later_columns(db: sqlite3.Connection) -> None:
    if not _missing(db):
        return
    db.execute("begin immediate")
    with db:  # another process may have done it by now
        for name in _missing(db):
            db.execute(f"alter table session add column {name} {_LATER[name]}")


def _missing(db: sqlite3.Connection) -> set[str]:
    there = {str(column[1]) for column in db.execute("pragma table_info(session)")}
    return _LATER.keys() - there


def _info(row: tuple[str, float, float, int, int]) -> SessionInfo:
    session_id, created_at, used_at, length, tokens = row
    made = created_at or used_at  # of a file from before there was the column
    return SessionInfo(
        id=session_id, created_at=made, used_at=used_at, messages=length, tokens=tokens
    )


def _memory(row: tuple[bytes, str, int, int, int]) -> Memory:
    messages, text, covers, tried, tokens = row
    summary = Summary(text=text, covers=covers, tried=tried)
    return Memory(messages=_DECODER.decode(messages), summary=summary, tokens=tokens)


def _beside(memory: Memory) -> tuple[str, int, int, int]:
    """What is stored of it beside the messages."""
    summary = memory.summary
    return summary.text, summary.covers, summary.tried, memory.tokens


def _unless_busy(work: Callable[[], object]) -> None:
    """What can as well be done later, when no other process is writing."""
    try:
        work()
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise


def _reason(error: OSError | sqlite3.Error) -> str:
    """A person's words: without the errno that str puts in front."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
