"""Services on the disk: one file with events and runs, and what becomes of them when it breaks."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from atoll_supervisor.core.services.record import Record
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.event_log import EventLog
from atoll_supervisor.shell.services.store import ServiceStore
from tests.fakes.records import service

pytestmark = pytest.mark.anyio


def named(name: str) -> Record:
    return service(name, uuid=name * 4, name=f"mine-{name}", recipe_name="mine")


def stored(path: Path) -> list[str]:
    """The ids that a daemon after this one would find."""
    db = sqlite3.connect(path)
    try:
        return [row[0] for row in db.execute("select id from service order by rowid")]
    finally:
        db.close()


def quiet(_: str) -> None:
    """Takes notes that no test looks at."""


def spoil(path: Path) -> None:
    """Have the file's table of events be another one, which only a look at it tells."""
    db = sqlite3.connect(path)
    db.executescript("drop table event; create table event (x)")
    db.close()


async def test_a_file_that_breaks_while_the_daemon_runs_loses_no_service(tmp_path: Path) -> None:
    """Whoever notices it: the new file holds them before anything else is done with it."""
    path = tmp_path / "atoll.db"
    disk = DatabaseThread(path)
    log, store = EventLog(disk), ServiceStore(disk, quiet)
    assert store.load() == ()
    await store.save(named("a"), named("b"))
    await store.remove("a")
    spoil(path)
    log.note("this write finds it out")
    async with asyncio.timeout(20):
        while not os.path.lexists(path.with_name("atoll.db.broken-1")):
            await asyncio.sleep(0.01)
        await disk.run(lambda db: db.execute("select 1").fetchall())
    assert stored(path) == ["b"]
    await store.save(named("c"))
    await log.close()
    assert stored(path) == ["b", "c"]


async def test_a_file_that_is_broken_at_the_start_gives_up_the_services_it_still_holds(
    tmp_path: Path,
) -> None:
    path = tmp_path / "atoll.db"
    disk = DatabaseThread(path)
    store = ServiceStore(disk, quiet)
    store.load()
    await store.save(named("a"))
    await disk.close(5)
    spoil(path)
    again = DatabaseThread(path)
    log = EventLog(again)
    assert [record.id for record in ServiceStore(again, quiet).load()] == ["a"]
    await log.close()
    assert path.with_name("atoll.db.broken-1").exists()
    assert stored(path) == ["a"]


@pytest.mark.parametrize("kind", ["noise", "fifo", "directory", "link"])
async def test_a_file_that_holds_nothing_to_be_read_is_replaced_by_an_empty_one(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "atoll.db"
    if kind == "noise":
        path.write_bytes(os.urandom(9_000))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    disk = DatabaseThread(path)
    store = ServiceStore(disk, quiet)
    assert store.load() == ()
    await store.save(named("a"))
    await disk.close(5)
    assert stored(path) == ["a"]


async def test_what_cannot_be_refilled_now_is_refilled_before_the_next_use(tmp_path: Path) -> None:
    path = tmp_path / "atoll.db"
    disk = DatabaseThread(path)
    tries: list[Path] = []

    def refill(db: sqlite3.Connection, aside: Path) -> None:
        tries.append(aside)
        if len(tries) == 1:
            raise OSError("the disk is full")
        db.execute("insert into service values ('x', 'y')")

    disk.when_replaced(refill)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(OSError, match="full"):
        await disk.run(lambda db: db.execute("select 1").fetchall())
    assert await disk.run(lambda db: db.execute("select id from service").fetchall()) == [(b"x",)]
    assert tries == [path.with_name("atoll.db.broken-1")] * 2
    await disk.close(5)
