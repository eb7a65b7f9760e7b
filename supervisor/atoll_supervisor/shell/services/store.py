"""Services in `atoll.db`: every change is committed before anybody is told of it.

A connection and a table of its own beside those of the events, made where it is
missing, so that neither waits for the schema of the other.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from atoll_supervisor.core.services.record import Record
from atoll_supervisor.shell.database import REFUSALS, Database, reason_of

TABLE = "create table if not exists service (id text primary key, record blob not null)"

T = TypeVar("T")


class ServiceStore:
    """Reads at the start, writes from one thread, in order; `degraded` tells of a bad disk."""

    def __init__(self, path: Path, note: Callable[[str], object]) -> None:
        self.degraded = ""
        self._note = note
        self._database = Database(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="services")

    def load(self) -> tuple[Record, ...]:
        """Every service that is remembered, oldest first; those nobody can read are told of."""
        try:
            rows = self._thread.submit(self._database.use, _read).result()
        except REFUSALS as error:
            self._note(f"services cannot be read: {reason_of(error)}")
            return ()
        found: list[Record] = []
        for row in rows:
            try:
                found.append(msgspec.json.decode(row, type=Record))
            except msgspec.MsgspecError as error:
                self._note(f"a service of another ATOLL is left alone: {error}")
        return tuple(found)

    async def save(self, *records: Record) -> None:
        """Commit these; raises one of `REFUSALS` when the disk refuses."""
        await self._run(lambda db: _write(db, records))

    async def remove(self, *ids: str) -> None:
        """Forget these."""
        await self._run(lambda db: _remove(db, ids))

    async def close(self) -> None:
        """Finish what was begun, and let go of the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._database.use, work)
            self.degraded = ""
        except REFUSALS as error:
            self.degraded = f"services cannot be kept: {reason_of(error)}"
            raise


def _read(db: sqlite3.Connection) -> list[bytes]:
    db.execute(TABLE)
    return [row[0] for row in db.execute("select record from service order by rowid")]


def _write(db: sqlite3.Connection, records: tuple[Record, ...]) -> None:
    db.execute(TABLE)
    rows = [(record.id, msgspec.json.encode(record)) for record in records]
    db.execute("begin immediate")
    db.executemany(
        "insert into service (id, record) values (?, ?)"
        " on conflict (id) do update set record = excluded.record",
        rows,
    )
    db.execute("commit")


def _remove(db: sqlite3.Connection, ids: tuple[str, ...]) -> None:
    db.execute(TABLE)
    db.execute("begin immediate")
    db.executemany("delete from service where id = ?", [(one,) for one in ids])
    db.execute("commit")
