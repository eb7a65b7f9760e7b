"""Runs in `atoll.db`: what was kept is found again, once, by a daemon that comes after."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from atoll_supervisor.core.runs.events import Answered, Begun, CancelAsked, Outcome, Told
from atoll_supervisor.core.runs.machine import accepted, open_question, step
from atoll_supervisor.core.runs.records import Batch, IdempotencyKey, Known, Wanted, Webhook
from atoll_supervisor.core.runs.view import body_of
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.event_log import EventLog
from atoll_supervisor.shell.run_store import RunStore
from tests.fakes.roles import finding, plan, role

pytestmark = pytest.mark.anyio

FIND = finding(role("a", hand_off="b"), role("b", "result: str", "text: str"))


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[DatabaseThread]:
    opened = DatabaseThread(tmp_path / "atoll.db")
    yield opened
    await opened.close(5)


@pytest.fixture
def store(disk: DatabaseThread) -> RunStore:
    return RunStore(disk)


def named(number: object, **more: object) -> Outcome:
    return accepted(msgspec.structs.replace(plan(**more), run_id=f"run-{number}"))


class Kept:
    """A run whose every event is kept."""

    def __init__(self, store: RunStore, outcome: Outcome) -> None:
        self.store = store
        self.run = outcome.run
        self.told: list[Told] = list(outcome.told)

    async def happen(self, event) -> None:
        out = step(self.run, event, FIND)
        self.run = out.run
        self.told += out.told
        await self.store.save(out.run, out.told, self.told)

    async def answer(self, text: str) -> None:
        await self.happen(Answered(open_question(self.run), text, 3.0))


async def begun(store: RunStore, number: object = 1, **more: object) -> Kept:
    outcome = named(number, kind="flock", **more)
    await store.accept([outcome])
    kept = Kept(store, outcome)
    await kept.happen(Begun(2.0))
    return kept


async def finished(store: RunStore, number: object = 1, **more: object) -> Kept:
    kept = await begun(store, number, **more)
    await kept.answer('{"result": "x"}')
    await kept.answer('{"text": "y"}')
    assert kept.run.is_final
    return kept


async def test_a_run_is_found_again_as_it_was_at_every_moment(store: RunStore) -> None:
    kept = await begun(store)
    assert await store.load("run-1") == kept.run
    await kept.answer('{"result": "x"}')
    assert await store.load("run-1") == kept.run
    await kept.answer("no json")
    assert await store.load("run-1") == kept.run
    await kept.answer('{"text": "y"}')
    found = await store.load("run-1")
    assert found == kept.run
    assert body_of(found).path == ("a", "b")
    assert await store.events("run-1", 0) == kept.told
    assert await store.events("run-1", 3) == kept.told[3:]


async def test_what_has_not_ended_is_found_by_the_next_daemon_with_its_steps(
    store: RunStore, tmp_path: Path
) -> None:
    kept = await begun(store, 1)
    await kept.answer('{"result": "x"}')
    await store.accept([named(2)])
    await finished(store, 3)
    again = DatabaseThread(tmp_path / "atoll.db")
    try:
        found = await RunStore(again).unfinished(9.0)
    finally:
        await again.close(5)
    assert [run.plan.run_id for run in found] == ["run-1", "run-2"]
    assert found[0] == kept.run


async def test_writing_the_same_again_leaves_one_of_each(store: RunStore) -> None:
    kept = await finished(store)
    await store.save(kept.run, kept.told, kept.told)
    assert await store.events("run-1", 0) == kept.told
    assert await store.load("run-1") == kept.run


async def test_a_run_is_kept_whole_in_a_file_that_does_not_know_it(
    store: RunStore, tmp_path: Path
) -> None:
    kept = await begun(store)
    await kept.answer('{"result": "x"}')
    other = DatabaseThread(tmp_path / "other.db")
    try:
        await RunStore(other).save(kept.run, (), kept.told)
        assert await RunStore(other).load("run-1") == kept.run
        assert await RunStore(other).events("run-1", 0) == kept.told
    finally:
        await other.close(5)


async def test_a_key_names_the_first_request_and_tells_whether_it_was_the_same(
    store: RunStore,
) -> None:
    assert await store.accept([named(1)], IdempotencyKey("k", "d")) is None
    assert await store.accept([named(2)], IdempotencyKey("k", "d")) == Known("run-1", True)
    assert await store.accept([named(2)], IdempotencyKey("k", "e")) == Known("run-1", False)
    assert await store.load("run-2") is None


async def test_of_many_requests_with_one_key_at_once_one_is_kept(store: RunStore) -> None:
    key = IdempotencyKey("k", "d")
    answers = await asyncio.gather(*(store.accept([named(n)], key) for n in range(20)))
    assert answers.count(None) == 1
    page = await store.page(Wanted(100))
    assert len(page.rows) == 1


async def test_the_list_is_newest_first_in_pages_by_status_and_by_agent(store: RunStore) -> None:
    for number in range(5):
        await store.accept([named(number, agent="A B" if number % 2 else "c")])
    await finished(store, 5)
    first = await store.page(Wanted(4))
    ids = [msgspec.json.decode(row)["run_id"] for row in first.rows]
    assert ids == ["run-5", "run-4", "run-3", "run-2"]
    rest = await store.page(Wanted(4, before=first.following))
    assert [msgspec.json.decode(row)["run_id"] for row in rest.rows] == ["run-1", "run-0"]
    assert rest.following is None
    assert len((await store.page(Wanted(9, status="completed"))).rows) == 1
    assert len((await store.page(Wanted(9, agent="a b:latest"))).rows) == 2
    assert len((await store.page(Wanted(9, status="starting", agent="C"))).rows) == 3


async def test_only_what_has_ended_is_deleted_and_with_all_that_belongs_to_it(
    store: RunStore, disk: DatabaseThread
) -> None:
    kept = await begun(store)
    assert not await store.delete("run-1")
    await kept.happen(CancelAsked(4.0))
    assert await store.delete("run-1")
    assert not await store.delete("run-1")
    assert await store.load("run-1") is None
    assert await disk.run(_everything) == 0


async def test_the_key_of_a_deleted_run_is_free_again(store: RunStore) -> None:
    key = IdempotencyKey("k", "d")
    await store.accept([named(1)], key)
    run = await store.load("run-1")
    out = step(run, CancelAsked(1.0), FIND)
    await store.save(out.run, out.told, out.told)
    await store.delete("run-1")
    assert await store.accept([named(2)], key) is None


async def test_what_is_too_old_or_too_much_is_forgotten_and_what_is_open_stays(
    store: RunStore, disk: DatabaseThread
) -> None:
    await begun(store, "open")
    for number in range(6):
        await finished(store, number)
    assert not await store.prune(oldest=0.0, most=4)
    assert [msgspec.json.decode(r)["run_id"] for r in (await store.page(Wanted(9))).rows] == [
        "run-5", "run-4", "run-3", "run-2", "run-open",
    ]  # fmt: skip
    assert not await store.prune(oldest=1e12, most=100)
    assert [msgspec.json.decode(r)["run_id"] for r in (await store.page(Wanted(9))).rows] == [
        "run-open"
    ]


async def test_a_batch_is_found_with_its_runs_in_order_and_goes_with_the_last(
    store: RunStore, disk: DatabaseThread
) -> None:
    batch = Batch(batch_id="b1", agent="a", accepted=1.0, items=3)
    outcomes = [named(n, batch="b1", item=n) for n in (0, 1, 2)]
    key = IdempotencyKey("k", "d")
    assert await store.accept(outcomes, key, batch) is None
    assert await store.accept(outcomes, key, batch) == Known("b1", True)
    found = await store.batch("b1")
    assert found is not None
    assert found[0] == batch
    assert [run.plan.item for run in found[1]] == [0, 1, 2]
    for run in found[1]:
        out = step(run, CancelAsked(1.0), FIND)
        await store.save(out.run, out.told, out.told)
    await store.prune(oldest=1e12, most=100)
    assert await store.batch("b1") is None
    assert await disk.run(_everything) == 0


async def test_an_end_is_to_be_told_until_it_was_heard(store: RunStore) -> None:
    kept = await begun(store, webhook=Webhook("http://localhost/x", "s"))
    assert await store.untold() == []
    await kept.happen(CancelAsked(4.0))
    assert await store.untold() == ["run-1"]
    await store.heard("run-1")
    assert await store.untold() == []


async def test_a_spoilt_run_does_not_hold_up_the_others(
    store: RunStore, disk: DatabaseThread
) -> None:
    await begun(store, 1)
    await begun(store, 2)
    await disk.run(lambda db: db.execute("update run_plan set plan = '{' where seq = 1").rowcount)
    assert [run.plan.run_id for run in await store.unfinished(9.0)] == ["run-2"]
    with pytest.raises(NotKept):
        await store.load("run-1")


async def test_a_run_is_not_forgotten_before_its_webhook_has_heard(store: RunStore) -> None:
    await finished(store, 1, webhook=Webhook("http://localhost/x", "s"))
    await store.prune(oldest=1e12, most=0)
    assert await store.untold() == ["run-1"]
    await store.heard("run-1")
    await store.prune(oldest=1e12, most=0)
    assert await store.load("run-1") is None


@pytest.mark.parametrize(
    "spoil",
    [
        "update run_plan set plan = '{' where seq = 1",
        "update run_progress set progress = x'ff' where seq = 1",
        "delete from run_plan where seq = 1",
        "update run_step set step = '[]'",
        "update run set row = '{', id = x'ff' where seq = 1; delete from run_progress",
    ],
)
async def test_a_spoilt_run_is_no_ghost_that_is_running_for_ever(
    store: RunStore, disk: DatabaseThread, spoil: str
) -> None:
    kept = await begun(store, 1)
    await kept.answer('{"result": "x"}')
    await disk.run(lambda db: db.executescript(spoil).rowcount)
    assert await store.unfinished(9.0) == []
    (row,) = map(msgspec.json.decode, (await store.page(Wanted(9))).rows)
    assert (row["status"], row["reason"]) == ("failed", "internal")
    assert row["completed_at"] == "1970-01-01T00:00:09.000Z"
    assert row["error"] == "what was kept of it cannot be read"
    assert len((await store.page(Wanted(9, status="running"))).rows) == 0
    await store.prune(oldest=10.0, most=100)
    assert (await store.page(Wanted(9))).rows == ()


async def test_a_disk_that_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    disk = DatabaseThread(tmp_path / "nowhere" / "atoll.db")
    try:
        with pytest.raises(NotKept, match=r"atoll\.db cannot be used: No such file"):
            await RunStore(disk).accept([named(1)])
    finally:
        await disk.close(5)


async def test_events_and_runs_share_one_file_and_one_thread(tmp_path: Path) -> None:
    disk = DatabaseThread(tmp_path / "atoll.db")
    log, store = EventLog(disk), RunStore(disk)
    log.note("hello")
    await store.accept([named(1)])
    await log.close()
    with sqlite3.connect(tmp_path / "atoll.db") as db:
        assert db.execute("select count(*) from event").fetchone() == (1,)
        assert db.execute("select count(*) from run").fetchone() == (1,)
    db.close()


async def test_a_file_of_the_release_before_runs_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "atoll.db"
    db = sqlite3.connect(path)
    db.executescript(f"{run_rows_before()}; pragma user_version = 1")
    db.execute("insert into event values (1, 'a', '{}')")
    db.commit()
    db.close()
    disk = DatabaseThread(path)
    try:
        await RunStore(disk).accept([named(1)])
        assert await disk.run(lambda db: db.execute("select id from event").fetchall()) == [(1,)]
        assert await RunStore(disk).load("run-1")
    finally:
        await disk.close(5)


def run_rows_before() -> str:
    from atoll_supervisor.shell.database import STEPS

    return STEPS[0]


def _everything(db: sqlite3.Connection) -> int:
    tables = ("run", "run_plan", "run_progress", "run_step", "run_event", "run_key", "run_batch")
    return sum(db.execute(f"select count(*) from {table}").fetchone()[0] for table in tables)
