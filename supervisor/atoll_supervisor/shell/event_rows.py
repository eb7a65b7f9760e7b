"""The table `event` of `atoll.db`: statements, and nothing else."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import islice

import msgspec

from atoll_supervisor.core.happening import Happening, next_id

MOST_EVENTS = 100_000
"""Events that are kept; the oldest go first."""
MOST_DAYS = 30
PRUNED_AT_ONCE = 1000
"""Rows that one call of `prune` deletes at most, so that no commit takes long."""

_INSERT = "insert or replace into event (id, unit, happening) values (?, ?, ?)"
_SINCE = "select happening from event where id > ? order by id"
_SINCE_OF = "select happening from event where unit = ? and id > ? order by id"
_LATEST = "select happening from event order by id desc"
_LATEST_OF = "select happening from event where unit = ? order by id desc"
_PRUNE = """
delete from event where id in (
    select id from event
    where id < max(?, coalesce((select id from event order by id desc limit 1 offset ?), 0))
    order by id limit ?
)
"""

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Happening)


def insert(db: sqlite3.Connection, happenings: Sequence[Happening]) -> None:
    """All of them or, on any error, none; a second time is no error."""
    db.execute("begin immediate")
    rows = ((one.id, one.unit, _encode(one).decode()) for one in happenings)
    db.executemany(_INSERT, rows)
    db.execute("commit")


def newest(db: sqlite3.Connection) -> int:
    """The highest id, 0 when there is none."""
    (found,) = db.execute("select coalesce(max(id), 0) from event").fetchone()
    return int(found)


def since(db: sqlite3.Connection, after: int, unit: str | None, limit: int) -> list[Happening]:
    """The first `limit` events after an id, oldest first; of one unit unless `unit` is None."""
    if unit is None:
        return _first(limit, db.execute(_SINCE, (after,)))
    return _first(limit, db.execute(_SINCE_OF, (unit, after)))


def latest(db: sqlite3.Connection, unit: str | None, limit: int) -> list[Happening]:
    """The newest `limit` events, oldest first; of one unit unless `unit` is None."""
    if unit is None:
        return _first(limit, db.execute(_LATEST))[::-1]
    return _first(limit, db.execute(_LATEST_OF, (unit,)))[::-1]


def prune(db: sqlite3.Connection, epoch: float) -> bool:
    """Delete some of what is over the limits; whether there may be more. Ids tell the age."""
    oldest = next_id(0, epoch - MOST_DAYS * 86_400)
    found = db.execute(_PRUNE, (oldest, MOST_EVENTS - 1, PRUNED_AT_ONCE))
    return found.rowcount >= PRUNED_AT_ONCE


def _first(limit: int, rows: sqlite3.Cursor) -> list[Happening]:
    """The first rows that can be read; SQLite looks for no more of them than are taken."""
    with closing(rows):
        readable = (one for (row,) in rows if (one := _happening(row)) is not None)
        return list(islice(readable, limit))


def _happening(row: bytes) -> Happening | None:
    """None for a row that a failing disk has spoilt: one event lost is not all lost."""
    try:
        return _decoder.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError):
        return None
