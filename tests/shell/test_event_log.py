"""Events on a real disk: kept, found again, and never in the way of the fleet."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from atoll.errors import ConfigError
from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.phases import Ended
from atoll_supervisor.shell import database, event_log, event_rows
from atoll_supervisor.shell.event_log import EventLog
from tests.fakes import writer

pytestmark = pytest.mark.anyio

LIMIT = 30
UP = Record(before="starting", after="running", cause="it is ready", generation=1)
DOWN = Record(
    before="running",
    after="backoff",
    cause="exit code 1",
    generation=1,
    ended=Ended(1, None, "exit code 1", 0.0),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "atoll.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[EventLog]:
    opened = EventLog(path, pulse=0.05)
    yield opened
    await opened.close()


def on_disk(path: Path) -> list[int]:
    """The ids that another process sees in the file now."""
    with sqlite3.connect(path) as db:
        found = [id for (id,) in db.execute("select id from event order by id")]
    db.close()
    return found


async def until(true, why: str = "it did not happen in time") -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, why
        await asyncio.sleep(0.01)


async def reopened(path: Path) -> list[Happening]:
    again = EventLog(path)
    found = await again.latest(None, 1_000_000)
    await again.close()
    return found


async def test_an_event_can_be_read_at_once_and_again_after_a_restart(
    log: EventLog, path: Path
) -> None:
    made = [log.record("one", UP), log.note("the daemon is here"), log.record("two", DOWN)]
    assert await log.latest(None, 10) == made
    assert await log.latest("two", 10) == made[2:]
    assert await log.latest("", 10) == made[1:2]
    assert await log.since(made[0].id, None, 1) == made[1:2]
    await log.close()
    assert await reopened(path) == made


async def test_an_end_of_a_process_is_committed_without_waiting_for_others(
    log: EventLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "BATCH", LIMIT * 2)
    log.record("one", UP)
    down = log.record("one", DOWN)
    await until(lambda: down.id in on_disk(path))


async def test_whatever_is_recorded_is_soon_on_the_disk(log: EventLog, path: Path) -> None:
    up = log.record("one", UP)
    await until(lambda: on_disk(path) == [up.id])


async def test_every_event_is_told_in_the_order_of_ids(path: Path) -> None:
    told: list[Happening] = []
    log = EventLog(path, tell=told.append)
    made = [log.record("one", UP) for _ in range(50)]
    await log.close()
    assert told == made
    assert [one.id for one in made] == sorted({one.id for one in made})


async def test_the_file_and_its_companions_are_ours_alone(log: EventLog, path: Path) -> None:
    old = os.umask(0)
    try:
        log.record("one", UP)
        await until(lambda: len(on_disk(path)) == 1)
    finally:
        os.umask(old)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("atoll.db", "atoll.db-wal", "atoll.db-shm"), 0o600)


async def test_a_clock_that_was_set_back_gives_no_id_twice(path: Path) -> None:
    early = EventLog(path, epoch=lambda: 2_000_000_000.0)
    first = early.note("in the future")
    await early.close()
    late = EventLog(path, epoch=lambda: 1_000_000_000.0)
    second = late.note("now")
    await late.close()
    assert second.id == first.id + 1


# Following.


async def test_a_follower_gets_the_tail_and_then_each_event_once(log: EventLog) -> None:
    made = [log.record("one", UP) for _ in range(5)]
    leaving = asyncio.Event()
    got: list[Happening] = []
    async with asyncio.timeout(LIMIT):
        async for found in log.follow(None, leaving, tail=2):
            got += found
            if len(got) < 100:
                made += [log.record("one", UP) for _ in range(7)]
            else:
                leaving.set()
    assert got == made[3:]


async def test_a_follower_with_an_old_id_is_given_all_since_then(path: Path) -> None:
    """From the disk, from memory and live, without a gap between them, for its unit alone."""
    first = EventLog(path)
    made = [first.record(f"unit-{n % 2}", UP) for n in range(3 * event_log.PAGE)]
    await first.close()
    log = EventLog(path)
    leaving = asyncio.Event()
    got: list[Happening] = []
    async with asyncio.timeout(LIMIT):
        async for found in log.follow("unit-1", leaving, after=made[1].id):
            got += found
            if len(made) < 5 * event_log.PAGE:
                made += [log.record(f"unit-{n % 2}", UP) for n in range(50)]
            else:
                leaving.set()
    await log.close()
    assert got == [one for one in made if one.unit == "unit-1" and one.id > made[1].id]


async def test_a_slow_follower_costs_no_memory_and_misses_nothing(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "RECENT", 100)
    leaving = asyncio.Event()
    got: list[Happening] = []
    made: list[Happening] = []
    async with asyncio.timeout(LIMIT), aclosing(log.follow(None, leaving, after=0)) as pages:
        assert await anext(pages) == []
        for _ in range(20):
            made += [log.record("one", UP) for _ in range(500)]
            await until(lambda: len(log._recent) <= 100, "memory keeps what is stored")
            got += await anext(pages)
        leaving.set()
        got += [one async for found in pages for one in found]
    assert got == made


async def test_an_id_of_the_future_is_as_good_as_the_newest(log: EventLog) -> None:
    log.note("before")
    leaving = asyncio.Event()
    async with aclosing(log.follow(None, leaving, after=2**53)) as pages:
        assert await anext(pages) == []
        later = log.note("after")
        async with asyncio.timeout(LIMIT):
            assert await anext(pages) == [later]


async def test_nothing_is_left_of_a_follower_that_went(log: EventLog) -> None:
    async with aclosing(log.follow(None, asyncio.Event())) as pages:
        assert await anext(pages) == []
        assert len(log._followers) == 1
    assert log._followers == set()


# What a disk may do.


async def test_a_writer_that_is_killed_leaves_a_sound_file_and_ids_go_on_rising(
    path: Path,
) -> None:
    newest = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, writer.__file__, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(30)]
        process.kill()
        said += [int(line) for line in process.stdout.read().split()]
        process.wait(LIMIT)
        process.stdout.close()
        assert said[0] > newest
        newest = said[-1]
        stored = on_disk(path)
        assert stored[-1] > said[0], "more than the last moments were lost"
        with sqlite3.connect(path) as db:
            assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        db.close()
    assert list(path.parent.glob("*.broken*")) == []


async def test_a_file_of_a_newer_atoll_is_refused_and_left_alone(path: Path) -> None:
    log = EventLog(path)
    await log.latest(None, 1)
    await log.close()
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"newer ATOLL \(schema 99.*\n.*--state-dir"):
        EventLog(path)
    assert path.read_bytes() == before


async def test_an_older_schema_is_brought_up_to_date_in_whole_steps(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(path)
    made = log.note("from the old days")
    await log.close()
    steps = (*database.STEPS, "alter table event add column more text default 'x'")
    newer = database.Database(path, steps)
    assert newer.use(lambda db: db.execute("select id, more from event").fetchall()) == [
        (made.id, b"x")
    ]
    assert newer.use(lambda db: db.execute("pragma user_version").fetchone()) == (len(steps),)
    newer.close()
    failing = database.Database(path, (*steps, "create table half (x); drop table nothing"))
    # The file is to be looked at afterwards.
    monkeypatch.setattr(failing, "_quarantine", lambda error: None)
    with pytest.raises(sqlite3.Error):
        failing.use(event_rows.newest)
    with sqlite3.connect(path) as db:
        assert db.execute("pragma user_version").fetchone() == (len(steps),)
        assert db.execute("select name from sqlite_master where name = 'half'").fetchall() == []
    db.close()


async def works_in_spite_of(path: Path) -> tuple[list[Happening], list[Happening]]:
    """(what was told, what is stored) of a log that records and reads over a damaged file."""
    told: list[Happening] = []
    log = EventLog(path, tell=told.append)
    made = log.record("one", DOWN)
    await log.since(0, None, 1000)
    await log.close()
    assert made in told
    return told, await reopened(path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a few pages of events, closed well."""
    path = tmp_path_factory.mktemp("filled") / "atoll.db"

    async def fill() -> None:
        log = EventLog(path)
        for n in range(300):
            log.record(f"unit-{n % 3}", DOWN)
        await log.close()

    asyncio.run(fill())
    return path


@pytest.mark.parametrize("share", range(10))
async def test_a_file_that_was_cut_short_or_spoilt_anywhere_stops_nothing(
    filled: Path, path: Path, share: int
) -> None:
    """The new event is told and kept; what cannot be trusted stands aside under another name."""
    data = filled.read_bytes()
    for offset in range(share * 97 + 1, len(data), 4001):
        if 60 <= offset < 64:
            continue  # the schema's version: a newer one is refused
        for spoilt in (data[:offset], data[:offset] + b"\xff" * 50 + data[offset + 50 :]):
            shutil.rmtree(path.parent)
            path.parent.mkdir()
            path.write_bytes(spoilt)
            told, stored = await works_in_spite_of(path)
            assert any(one.cause == "exit code 1" for one in told)
            assert [one for one in stored if one.id == told[0].id], (offset, told)
            aside = list(path.parent.glob("atoll.db.broken-*"))
            assert bool(aside) == any("cannot be trusted" in one.cause for one in told)


@pytest.mark.parametrize("kind", ["noise", "directory", "symlink", "fifo", "tables", "header"])
async def test_what_is_no_database_of_ours_is_moved_aside_and_told(path: Path, kind: str) -> None:
    if kind == "noise":
        path.write_bytes(os.urandom(10_000))
    elif kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to(path.parent / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with sqlite3.connect(path) as db:
            db.execute("create table event (x)")
        db.close()
    if kind == "header":  # SQLite takes a file of this write version for one to be read only
        path.write_bytes(path.read_bytes()[:18] + b"\x09" + path.read_bytes()[19:])
    told, stored = await works_in_spite_of(path)
    assert [one.id for one in stored] == [one.id for one in told]
    assert "cannot be trusted" in told[-1].cause
    assert os.path.lexists(path.with_name("atoll.db.broken-1"))


async def test_a_file_that_breaks_under_a_running_daemon_is_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is still in memory goes into the new one."""
    log = EventLog(path)
    first = log.note("before")
    await until(lambda: on_disk(path) == [first.id])
    await asyncio.to_thread(log._disk._thread.submit(log._disk._database.close).result)
    path.write_bytes(b"\0" * 8192)
    second = log.note("after")
    await until(lambda: len(log._recent) == 3)
    await log.close()
    stored = await reopened(path)
    assert stored[:2] == [first, second]
    assert "cannot be trusted" in stored[2].cause


NO_ROOM = """
import asyncio, os, sys
from pathlib import Path
from atoll_supervisor.core.effects import Record
from atoll_supervisor.shell import event_log
from atoll_supervisor.shell.event_log import EventLog

event_log.RETRY = 0.05
event_log.WAITING = event_log.RECENT = 500

async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)

async def main(folder):
    told = []
    log = EventLog(folder / "atoll.db", tell=told.append)
    up = Record(before="starting", after="running", cause="it is ready", generation=1)
    leaving, live = asyncio.Event(), []
    async def listen():
        async for found in log.follow(None, leaving):
            live.extend(found)
    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    first = log.record("one", up)
    await until(lambda: log._stored == first.id)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    while not log.degraded:
        log.record("one", up)
        await asyncio.sleep(0)
    made = []
    for _ in range(60):
        made += [log.record("one", up) for _ in range(10)]
        await until(lambda: live[-1] == made[-1])
    assert [one.id for one in live] == [one.id for one in told], "live streams go on"
    assert (await log.latest("one", 500))[-1] == made[-1], "and so do answers"
    refusals = [one.cause for one in told if "cannot be used" in one.cause]
    assert len(refusals) == 1, refusals
    filler.unlink()
    await until(lambda: not log.degraded)
    leaving.set()
    await listening
    await log.close()
    print(refusals[0])
    print(told[-1].cause)
    again = EventLog(folder / "atoll.db")
    stored = await again.latest(None, 100_000)
    await again.close()
    assert stored[-1].cause == told[-1].cause
    assert made[-1] in stored
    print(len(told) - len(stored))

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_fault_19_a_full_disk_costs_the_oldest_events_and_nothing_else(
    tmp_path: Path,
) -> None:
    """In a mount namespace of its own, on a file system of 512 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tiny file system")
    mounts = 'mount -t tmpfs -o size=512k none "$1" && exec "$2" -c "$3" "$1"'
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this machine forbids mount namespaces")
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "-m", "sh", "-c", mounts, "sh", str(tmp_path), sys.executable, NO_ROOM],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    refusal, again, lost = done.stdout.splitlines()
    assert "full" in refusal
    assert again.endswith(f"is written again; {lost} events were lost")
    assert int(lost) > 0


async def test_old_events_go_in_small_steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_rows, "MOST_EVENTS", 50)
    monkeypatch.setattr(event_rows, "PRUNED_AT_ONCE", 30)
    log = EventLog(path)
    made = [log.record("one", UP) for _ in range(200)]
    await until(lambda: len(on_disk(path)) == 200 - 30)
    for _ in range(8):
        made.append(log.record("one", DOWN))
        await until(lambda: made[-1].id in on_disk(path))
    await log.close()
    kept = on_disk(path)
    assert kept == [one.id for one in made[-len(kept) :]]
    assert 50 <= len(kept) < 60


async def test_events_older_than_a_month_go(path: Path) -> None:
    old = EventLog(path, epoch=lambda: 1_000_000_000.0)
    old.note("long ago")
    await old.close()
    now = EventLog(path, epoch=lambda: 1_000_000_000.0 + 31 * 86_400)
    kept = now.note("today")
    await now.close()
    assert on_disk(path) == [kept.id]


async def test_recording_costs_the_loop_next_to_nothing(log: EventLog, path: Path) -> None:
    """100,000 events in bursts; the figure is printed, the bound is a generous one."""
    spent = 0.0
    for _ in range(1000):
        begun = time.thread_time()
        for _ in range(100):
            log.record("one", UP)
        spent += time.thread_time() - begun
        await asyncio.sleep(0)
    await until(lambda: log._stored == log._newest)
    print(f"{spent / 100_000 * 1e6:.1f} us of the loop for each event")
    assert log._lost == 0
    assert spent / 100_000 < 100e-6
