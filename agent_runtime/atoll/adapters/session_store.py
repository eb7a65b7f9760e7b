"""Sessions in SQLite: one file per agent, written before a turn is acknowledged.

WAL with `synchronous=NORMAL`: a committed write survives the death of the
process, kill -9 included; only a power cut may take the last ones. Expiry is
exact on use: a session past its time is unknown, swept or not (KW5).
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from atoll.ports import Clock
from atoll.wire.messages import Message

MAX_SESSIONS = 1000
"""The longest unused go first when there are more (FR-S008)."""

_SCHEMA = """
create table if not exists session (
    id text primary key,
    used_at real not null,
    messages blob not null
) without rowid;
create index if not exists session_used_at on session (used_at);
"""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[Message, ...])


class SqliteSessions:
    """The SessionStore port over one SQLite file. `timeout` in seconds."""

    def __init__(self, path: Path, timeout: float, clock: Clock) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._timeout = timeout
        self._clock = clock
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute("pragma busy_timeout = 2000")
        self._db.executescript(_SCHEMA)

    def load(self, session_id: str) -> tuple[Message, ...] | None:
        """The messages of a live session, or None; reading does not extend its life."""
        row = self._db.execute(
            "select messages from session where id = ? and used_at > ?",
            (session_id, self._expired_before()),
        ).fetchone()
        return None if row is None else _DECODER.decode(row[0])

    def save(self, session_id: str, messages: Sequence[Message]) -> None:
        """Store the whole conversation; on disk when this returns."""
        self._db.execute(
            "insert or replace into session values (?, ?, ?)",
            (session_id, self._clock.now(), _ENCODER.encode(tuple(messages))),
        )
        self._db.execute(
            "delete from session where id in"
            " (select id from session order by used_at desc limit -1 offset ?)",
            (MAX_SESSIONS,),
        )

    def count(self) -> int:
        """How many sessions are alive."""
        query = "select count(*) from session where used_at > ?"
        (count,) = self._db.execute(query, (self._expired_before(),)).fetchone()
        return int(count)

    def cleanup(self) -> int:
        """Delete the expired sessions and say how many they were."""
        query = "delete from session where used_at <= ?"
        return self._db.execute(query, (self._expired_before(),)).rowcount

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _expired_before(self) -> float:
        return self._clock.now() - self._timeout
