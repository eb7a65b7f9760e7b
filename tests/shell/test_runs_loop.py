"""All runs of a daemon: taken up once, and no more of them at once than there is room for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from atoll.errors import Busy
from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.core.runs.machine import accepted
from atoll_supervisor.core.runs.records import BatchOrder, Order, Plan, Run
from atoll_supervisor.loop import runs as loop_runs
from atoll_supervisor.loop.run_room import MOST_RUNS, Room
from atoll_supervisor.loop.runs import Retention, Runs
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.run_store import RunStore
from atoll_supervisor.shell.webhook import Messenger
from tests.fakes.fleet import MemoryFleet
from tests.fakes.roles import plan

pytestmark = pytest.mark.anyio

ORDER = Order(kind="agent", agent="ghost", inputs={"query": "x"})


def named(run_id: str, query: str = "x") -> Plan:
    return replace(plan("ghost", inputs={"query": query}), run_id=run_id)


class Stumbling(RunStore):
    """Refuses once, in the middle of a take-up; what is read then is old when it is looked at."""

    read: list[Run] | None = None
    refused = False

    async def unfinished(self, now: float) -> list[Run]:
        if self.read is None:
            self.read = await super().unfinished(now)
        else:
            async with asyncio.timeout(10):
                while len(await super().unfinished(now)) == len(self.read):
                    await asyncio.sleep(0.01)
        return self.read

    async def events(self, run_id: str, after: int) -> list[Told]:
        if run_id == "second" and not self.refused:
            self.refused = True
            raise NotKept("the disk is full")
        return await super().events(run_id, after)


@contextlib.asynccontextmanager
async def running(store: RunStore, folder: Path) -> AsyncIterator[Runs]:
    runs = Runs(store, MemoryFleet(folder), "", Retention(30, 1000), Messenger(), lambda: 5.0)
    main = asyncio.create_task(runs.main())
    try:
        yield runs
    finally:
        main.cancel()
        await asyncio.gather(main, return_exceptions=True)
        await runs.close()


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[DatabaseThread]:
    opened = DatabaseThread(tmp_path / "atoll.db")
    yield opened
    await opened.close(5)


async def test_a_run_that_ended_while_the_others_were_taken_up_does_not_begin_again(
    disk: DatabaseThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_runs, "RETRY", 0.0)
    store = Stumbling(disk)
    for run_id in ("first", "second"):
        await store.accept([accepted(named(run_id))])
    async with running(store, tmp_path) as runs, asyncio.timeout(20):
        for run_id in ("first", "second"):
            assert (await runs.ended(run_id, asyncio.Event())).is_final
            told = await store.events(run_id, 0)
            assert [one.type for one in told] == ["run_accepted", "run_failed"]
    assert store.refused


async def test_requests_at_once_do_not_share_the_room_that_is_left(
    disk: DatabaseThread, tmp_path: Path
) -> None:
    async with running(RunStore(disk), tmp_path) as runs, asyncio.timeout(50):
        more = BatchOrder(agent="ghost")
        asks = [runs.start_batch([ORDER] * (MOST_RUNS // 2 + 1), more, None) for _ in range(2)]
        found = await asyncio.gather(*asks, return_exceptions=True)
        assert [isinstance(one, Busy) for one in found] == [False, True]


def test_what_went_into_runs_is_bounded_too() -> None:
    room = Room(most_runs=10, most_bytes=1000)
    long = [named(str(number), "x" * 400) for number in range(4)]
    room.take(long[:2])
    with pytest.raises(Busy, match="0 MiB"):
        room.take(long[2:3])
    room.leave(long[0])
    room.leave(long[0], long[3])
    room.take(long[2:3])
    room.keep(long[3])
    with pytest.raises(Busy):
        room.take(long[:1])
    room.leave(*long)
    room.take(long[:2])


def test_no_more_runs_than_there_is_room_for() -> None:
    room = Room(most_runs=2)
    room.take([named("1"), named("2")])
    with pytest.raises(Busy, match="2 runs are under way or wait"):
        room.take([named("3")])


async def test_an_event_that_cannot_be_read_holds_up_no_run(
    disk: DatabaseThread, tmp_path: Path
) -> None:
    """One row that a failing disk has spoilt: every request would wait for its run for ever."""
    store = RunStore(disk)
    for run_id in ("first", "second"):
        await store.accept([accepted(named(run_id))])
    await disk.run(lambda db: db.execute("update run_event set event = '{' where seq = 1"))
    async with running(store, tmp_path) as runs, asyncio.timeout(20):
        for run_id in ("first", "second"):
            assert (await runs.ended(run_id, asyncio.Event())).is_final
    assert [one.type for one in await store.events("first", 0)] == ["run_failed"]
