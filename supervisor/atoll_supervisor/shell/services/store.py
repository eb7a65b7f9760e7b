"""Services in `atoll.db`: every change is committed before anybody is told of it.

Their rows are held in memory, too, so that a file that replaces a broken one
holds them before anything else is written to it.
"""

import sqlite3
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import msgspec

from atoll_supervisor.core.services.record import Record
from atoll_supervisor.shell.database import REFUSALS, reason_of
from atoll_supervisor.shell.database_thread import DatabaseThread

Rows = Mapping[str, bytes]


class ServiceStore:
    """Reads at the start, writes in order; `degraded` tells of a bad disk.

    `_rows` is what the file holds, touched on the database's thread alone; None
    until it was read.
    """

    def __init__(self, disk: DatabaseThread, note: Callable[[str], object]) -> None:
        self.degraded = ""
        self._note = note
        self._disk = disk
        self._rows: dict[str, bytes] | None = None
        disk.when_replaced(self._refill)

    def load(self) -> tuple[Record, ...]:
        """Every service that is remembered, oldest first; those nobody can read are told of."""
        try:
            rows = self._disk.run_now(self._read)
        except REFUSALS as error:
            self._note(f"services cannot be read: {reason_of(error)}")
            return ()
        found: list[Record] = []
        for row in rows.values():
            try:
                found.append(msgspec.json.decode(row, type=Record))
            except (msgspec.MsgspecError, RecursionError) as error:
                self._note(f"a service of another ATOLL is left alone: {error}")
        return tuple(found)

    async def save(self, *records: Record) -> None:
        """Commit these; raises one of `REFUSALS` when the disk refuses."""
        rows = {record.id: msgspec.json.encode(record) for record in records}
        await self._run(partial(self._write, rows=rows))

    async def remove(self, *ids: str) -> None:
        """Forget these; raises one of `REFUSALS` when the disk refuses."""
        await self._run(partial(self._remove, ids=ids))

    async def _run(self, work: Callable[[sqlite3.Connection], None]) -> None:
        try:
            await self._disk.run(work)
            self.degraded = ""
        except REFUSALS as error:
            self.degraded = f"services cannot be kept: {reason_of(error)}"
            raise

    # on the database's thread

    def _read(self, db: sqlite3.Connection) -> Rows:
        self._rows = dict(_rows_of(db))
        return dict(self._rows)

    def _write(self, db: sqlite3.Connection, rows: Rows) -> None:
        _insert(db, rows)
        self._rows = {**(self._rows or {}), **rows}

    def _remove(self, db: sqlite3.Connection, ids: tuple[str, ...]) -> None:
        db.execute("begin immediate")
        db.executemany("delete from service where id = ?", [(one,) for one in ids])
        db.execute("commit")
        self._rows = {one: row for one, row in (self._rows or {}).items() if one not in ids}

    def _refill(self, db: sqlite3.Connection, aside: Path) -> None:
        """What the daemon knows; at its start, what can still be read of the broken file."""
        _insert(db, _salvaged(aside) if self._rows is None else self._rows)


def _rows_of(db: sqlite3.Connection) -> Iterable[tuple[str, bytes]]:
    for name, row in db.execute("select id, record from service order by rowid"):
        yield name.decode() if isinstance(name, bytes) else name, row


def _insert(db: sqlite3.Connection, rows: Rows) -> None:
    db.execute("begin immediate")
    db.executemany(
        "insert into service (id, record) values (?, ?)"
        " on conflict (id) do update set record = excluded.record",
        list(rows.items()),
    )
    db.execute("commit")


def _salvaged(file: Path) -> Rows:
    """Every row up to the first that cannot be read; the file is left as it is."""
    rows: dict[str, bytes] = {}
    if not stat.S_ISREG(file.lstat().st_mode):  # a fifo would keep us waiting
        return rows
    with suppress(*REFUSALS), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        rows.update(_rows_of(db))
    return rows
