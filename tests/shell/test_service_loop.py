"""The loop of services: a real store, real recipes, and an engine that does what a test says."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from atoll.errors import ClientError, NotFound
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.evidence import Ended, Up
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.record import Job, Record, ServiceGroup, ServiceRow
from atoll_supervisor.loop.services import service_loop
from atoll_supervisor.loop.services.around import STILL_ENDS, Around, StillEnds
from atoll_supervisor.loop.services.assembly import SHIPPED
from atoll_supervisor.loop.services.service_loop import ServiceLoop
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.services.recipes import Recipes
from atoll_supervisor.shell.services.store import ServiceStore
from atoll_supervisor.shell.slurm import SlurmDown

pytestmark = pytest.mark.anyio

VLLM = Wish(recipe_name="inference/vllm", engine="slurm")


class FakeEngine:
    """Gives each service a job; `refuse` says after how many it refuses the next."""

    def __init__(self) -> None:
        self.submitted: list[str] = []
        self.ended: list[str] = []
        self.jobs: set[str] = set()
        self.refused: set[str] = set()
        self.adopted: list[str] = []
        self.forgotten: list[str] = []
        self.refuse = 1000
        self.ends_first = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.left = asyncio.Event()
        self.left.set()
        self.forgetting = asyncio.Event()
        self.forgetting.set()

    async def admit(self, asked: Resources) -> tuple[str, ...]:
        if asked.gpu > 1:
            raise ClientError("too many GPUs")
        return ("too few GPUs",) if asked.gpu else ()

    async def submit(self, record: Record) -> Record:
        if len(self.submitted) >= self.refuse:
            self.refused.add(record.uuid)
            raise ClientError("the cluster refused the job")
        self.submitted.append(record.id)
        job = Job(job_id=str(len(self.submitted)))
        await self.gate.wait()
        self.jobs.add(job.job_id)
        return replace(record, job=job)

    async def replace(self, record: Record, anew: Record) -> Record:
        if self.ends_first:
            await self.cancel(record)
            if not await self.gone(record):
                raise StillEnds(f"{record.name}: {STILL_ENDS}")
            return await self.submit(anew)
        return await self.submit(anew)

    def goes_on(self, record: Record) -> bool:
        return not self.ends_first or record.job.job_id in self.jobs

    def may_have_job(self, uuid: str) -> bool:
        return uuid not in self.refused

    def adopt(self, record: Record) -> Record:
        self.adopted.append(record.id)
        return record

    async def cancel(self, record: Record) -> None:
        if record.job.job_id:
            self.ended.append(record.id)
            self.jobs.discard(record.job.job_id)

    async def gone(self, record: Record) -> bool:
        return await asyncio.wait_for(self.left.wait(), 20)

    def still_ends(self, record: Record) -> bool:
        return record.is_final and not self.left.is_set()

    async def forget(self, record: Record) -> None:
        self.forgotten.append(record.id)

        await self.forgetting.wait()

    def logs(self, record: Record) -> tuple[tuple[str, Path], ...]:
        return (("OUT", Path(record.id)),)

    async def run(self) -> None:
        await asyncio.Event().wait()


async def down(_: Record) -> None:
    raise SlurmDown("the cluster does not answer")


class OwnDisk(ServiceLoop):
    """A loop that also closes the database that was opened for it."""

    def __init__(self, around: Around, disk: DatabaseThread) -> None:
        super().__init__(around)
        self.store = around.store
        self.disk = disk

    def stored(self) -> tuple[Record, ...]:
        """What the next daemon would find."""
        return self.store.load()

    async def close(self) -> None:
        await super().close()
        await self.disk.close(5)


def make(folder: Path, engine: FakeEngine) -> OwnDisk:
    notes: list[tuple[str, str]] = []

    def note(text: str, unit: str) -> None:
        notes.append((text, unit))

    disk = DatabaseThread(folder / "atoll.db")
    around = Around(
        recipes=Recipes(SHIPPED),
        store=ServiceStore(disk, lambda text: note(text, "")),
        find=str,
        epoch=lambda: 1_000.0,
        note=note,
    )
    services = OwnDisk(around, disk)
    services.begin({"slurm": engine, "local": engine})
    return services


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def services(tmp_path: Path, engine: FakeEngine) -> AsyncIterator[OwnDisk]:
    made = make(tmp_path, engine)
    yield made
    await made.close()


async def test_what_was_begun_is_found_by_the_next_daemon_and_what_is_over_is_left_alone(
    engine: FakeEngine, tmp_path: Path
) -> None:
    services = make(tmp_path, engine)
    kept, over = await services.create(VLLM), await services.create(VLLM)
    services.saw(kept.id, Up(answers=True, host="n1", port=8001))
    services.saw(over.id, Ended("failed", "boom"))
    await services.close()
    engine.adopted.clear()
    again = make(tmp_path, engine)
    try:
        assert engine.adopted == [kept.id]
        assert [row.status for row in again.rows()] == ["running", "failed"]
        assert again.rows()[0].job_id == "1"
        assert again.key(kept.id) == services.key(kept.id)
    finally:
        await again.close()


async def test_one_that_is_ended_while_it_is_submitted_leaves_no_job(
    services: OwnDisk, engine: FakeEngine
) -> None:
    engine.gate.clear()
    creating = asyncio.create_task(services.create(VLLM))
    while not engine.submitted:
        await asyncio.sleep(0)
    (row,) = services.rows()
    await services.cancel(row.id, purge=False)
    assert engine.ended == []
    engine.gate.set()
    await creating
    assert engine.ended == [row.id]
    assert services.rows()[0].status == "cancelled"


async def test_one_that_is_purged_while_it_is_submitted_leaves_no_job_either(
    services: OwnDisk, engine: FakeEngine
) -> None:
    engine.gate.clear()
    creating = asyncio.create_task(services.create(VLLM))
    while not engine.submitted:
        await asyncio.sleep(0)
    (row,) = services.rows()
    await services.cancel(row.id, purge=True)
    engine.gate.set()
    await creating
    assert engine.ended == [row.id]
    assert services.rows() == ()


async def test_a_group_of_which_one_is_refused_is_taken_back(
    services: OwnDisk, engine: FakeEngine
) -> None:
    engine.refuse = 2
    with pytest.raises(ClientError, match="refused"):
        await services.create(replace(VLLM, replicas=3))
    assert sorted(engine.ended) == sorted(engine.submitted)
    assert services.rows() == ()
    assert len(engine.forgotten) == 3


async def test_a_service_that_cannot_be_kept_is_not_begun(
    engine: FakeEngine, tmp_path: Path
) -> None:
    services = make(tmp_path / "nowhere", engine)
    with pytest.raises(NotKept):
        await services.create(VLLM)
    assert engine.submitted == []
    assert "services cannot be kept" in services.degraded
    await services.close()


async def test_the_oldest_that_are_over_make_room(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_loop, "MOST", 2)
    first, second = await services.create(VLLM), await services.create(VLLM)
    with pytest.raises(ClientError, match="at work"):
        await services.create(VLLM)
    services.saw(second.id, Ended("completed"))
    third = await services.create(VLLM)
    assert [row.id for row in services.rows()] == [first.id, third.id]
    assert engine.forgotten == [second.id]


async def test_one_that_is_ended_is_told_as_gone_only_when_it_is(
    services: OwnDisk, engine: FakeEngine
) -> None:
    """Its record is over at once; its process takes what its stop limit allows."""
    row = await services.create(VLLM)
    engine.left.clear()
    ending = await services.cancel(row.id, purge=False, wait=False)
    assert (ending.job_id, ending.gone) == (row.job_id, False)
    shown = services.rows()[0]
    assert shown.status == "cancelled"
    assert shown.reason == "stopped by a user; its process is still on its way out"
    waiting = asyncio.create_task(services.cancel(row.id, purge=False))
    await asyncio.sleep(0)
    assert not waiting.done()
    engine.left.set()
    assert (await waiting).gone
    assert services.rows()[0].reason == "stopped by a user"


async def test_a_failed_service_is_started_again_as_what_it_was(
    services: OwnDisk, engine: FakeEngine
) -> None:
    row = await services.create(VLLM)
    key = services.key(row.id)
    services.saw(row.id, Ended("failed", "exit code 1: boom"))
    again = await services.restart(row.id)
    assert isinstance(again, ServiceRow)
    assert (again.id, again.name, again.status) == (row.id, row.name, "pending")
    assert (again.last_end, again.ended_at) == ("failed: exit code 1: boom", None)
    assert (again.job_id, services.key(row.id)) == ("2", key)
    assert engine.submitted == [row.id, row.id]
    services.saw(row.id, Up(answers=True, host="n1", port=8001))
    assert services.rows()[0].last_end == "failed: exit code 1: boom"


async def test_what_runs_is_ended_before_it_is_started_again(
    services: OwnDisk, engine: FakeEngine
) -> None:
    """Where only one may have its data, as on this machine."""
    group = await services.create(replace(VLLM, replicas=2))
    engine.ends_first = True
    engine.left.clear()
    restarting = asyncio.create_task(services.restart(group.id))
    while len(engine.ended) < 2:
        await asyncio.sleep(0.001)
    assert len(engine.submitted) == 2
    assert [row.reason for row in services.rows()] == ["it is being started again"] * 2
    services.saw(engine.ended[1], Ended("completed"))
    assert services.rows()[1].status == "pending", "its end is no news"
    with pytest.raises(StillEnds, match="already"):
        await services.restart(engine.ended[0])
    purging = asyncio.create_task(services.cancel(engine.ended[0], purge=True))
    await asyncio.sleep(0.01)
    engine.left.set()
    await asyncio.gather(restarting, purging)
    assert [row.id for row in services.rows()] == [engine.ended[1]]
    assert {services.rows()[0].job_id} == engine.jobs, "nobody's is left"


async def test_an_end_that_has_not_reached_the_cluster_does_before_a_new_start(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the job of before would go on, under a mark that nobody looks for any more."""
    row = await services.create(VLLM)
    reached = engine.cancel
    monkeypatch.setattr(engine, "cancel", down)
    with pytest.raises(SlurmDown):
        await services.cancel(row.id, purge=False)
    assert services.rows()[0].status == "cancelled"
    with pytest.raises(SlurmDown):
        await services.restart(row.id)
    assert (engine.submitted, engine.ended) == ([row.id], [])
    monkeypatch.setattr(engine, "cancel", reached)
    await services.restart(row.id)
    assert (engine.submitted, engine.ended) == ([row.id, row.id], [row.id])


async def test_one_that_cannot_be_started_again_goes_on(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal costs nobody what runs, nor does a disk that does not keep the new start."""
    row = await services.create(VLLM)
    services.saw(row.id, Up(answers=True, host="n1", port=8001))
    before = services.rows()[0]
    engine.refuse = 1
    with pytest.raises(ClientError, match="refused"):
        await services.restart(row.id)
    assert (services.rows()[0], engine.ended) == (before, [])
    (record,) = services.all()
    assert record.others == (), "there surely is no job of that start"
    engine.refuse = 1000
    save, saved = ServiceStore.save, 0

    async def full_at_last(store: ServiceStore, *records: Record) -> None:
        nonlocal saved
        saved += 1
        if saved > 1:
            raise sqlite3.OperationalError("database or disk is full")
        await save(store, *records)

    monkeypatch.setattr(ServiceStore, "save", full_at_last)
    with pytest.raises(NotKept):
        await services.restart(row.id)
    monkeypatch.setattr(ServiceStore, "save", save)
    assert services.rows()[0] == before
    (record,) = services.all()
    assert len(record.others) == 1, "whose job is ended at a look"
    assert engine.jobs == {"1", "2"}


async def test_a_daemon_that_dies_in_a_restart_knows_of_both_jobs(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the old one is ended the disk has the new one, with the old one among its others."""
    row = await services.create(VLLM)
    (before,) = services.all()
    kept: list[Record] = []

    async def at_its_end(record: Record) -> None:
        kept.extend(services.stored())

    monkeypatch.setattr(engine, "cancel", at_its_end)
    await services.restart(row.id)
    (record,) = kept
    assert (record.job_id, record.others) == ("2", (before.uuid,))
    assert record.uuid != before.uuid


async def test_what_is_purged_while_its_late_start_is_ended_stays_forgotten(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.gate.clear()
    creating = asyncio.create_task(services.create(VLLM))
    while not engine.submitted:
        await asyncio.sleep(0.001)
    row, reached, slowly = services.rows()[0], engine.cancel, asyncio.Event()
    await services.cancel(row.id, purge=False)

    async def slow(record: Record) -> None:
        await slowly.wait()
        await reached(record)

    monkeypatch.setattr(engine, "cancel", slow)
    engine.gate.set()
    while not services.all()[0].job.job_id:
        await asyncio.sleep(0.001)
    purging = asyncio.create_task(services.cancel(row.id, purge=True))
    slowly.set()
    await asyncio.gather(creating, purging)
    assert (services.rows(), services.stored(), engine.jobs) == ((), (), set())


async def test_what_is_started_again_serves_until_its_successor_is_taken(
    services: OwnDisk, engine: FakeEngine
) -> None:
    row = await services.create(VLLM)
    services.saw(row.id, Up(answers=True, host="n1", port=8001))
    engine.gate.clear()
    restarting = asyncio.create_task(services.restart(row.id))
    while len(engine.submitted) < 2:
        await asyncio.sleep(0.001)
    shown = services.rows()[0]
    assert (shown.status, shown.reason) == ("running", "it is being started again")
    assert (shown.url, engine.ended) == ("http://n1:8001", [])
    engine.gate.set()
    await restarting
    shown = services.rows()[0]
    assert (shown.status, shown.url, shown.job_id) == ("pending", None, "2")
    assert (shown.last_end, engine.ended) == ("started again by a user while running", [row.id])


async def test_one_that_is_ended_while_it_is_started_again_stays_ended(
    services: OwnDisk, engine: FakeEngine
) -> None:
    row = await services.create(VLLM)
    engine.gate.clear()
    restarting = asyncio.create_task(services.restart(row.id))
    while len(engine.submitted) < 2:
        await asyncio.sleep(0.001)
    await services.cancel(row.id, purge=False)
    engine.gate.set()
    await restarting
    assert services.rows()[0].status == "cancelled"
    assert engine.jobs == set()


async def test_what_does_not_end_is_not_started_beside_itself(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stays(_: Record) -> bool:
        return False

    row = await services.create(VLLM)
    engine.ends_first = True
    monkeypatch.setattr(engine, "gone", stays)
    for _ in range(2):
        with pytest.raises(StillEnds, match="on its way out"):
            await services.restart(row.id)
        assert services.rows()[0].status == "cancelled"
    assert engine.submitted == [row.id]


async def test_one_that_has_ended_for_a_start_that_is_refused_has_failed_with_the_reason(
    services: OwnDisk, engine: FakeEngine
) -> None:
    """On this machine: its port was taken in the moment between."""
    row = await services.create(VLLM)
    services.saw(row.id, Up(answers=True, host="n1", port=8001))
    engine.ends_first, engine.refuse = True, 1
    with pytest.raises(ClientError, match="refused"):
        await services.restart(row.id)
    shown = services.rows()[0]
    assert (shown.status, shown.reason) == ("failed", "the cluster refused the job")


async def test_one_that_is_over_and_refused_when_it_is_started_again_has_failed_with_the_reason(
    services: OwnDisk, engine: FakeEngine
) -> None:
    row = await services.create(VLLM)
    services.saw(row.id, Ended("completed"))
    engine.refuse = 1
    with pytest.raises(ClientError, match="refused"):
        await services.restart(row.id)
    shown = services.rows()[0]
    assert (shown.status, shown.reason) == ("failed", "the cluster refused the job")
    assert shown.last_end == "completed"


async def test_no_replica_waits_for_a_start_that_nobody_makes(
    services: OwnDisk, engine: FakeEngine
) -> None:
    """A group that is over is started again, and its second replica is refused."""
    group = await services.create(replace(VLLM, replicas=3))
    await services.cancel(group.id, purge=False)
    engine.refuse = 4
    with pytest.raises(ClientError, match="refused"):
        await services.restart(group.id)
    told = [(row.status, row.reason) for row in services.rows()]
    assert told == [("pending", ""), *[("failed", "the cluster refused the job")] * 2]


async def test_a_replica_of_a_group_that_begins_is_not_started_again(
    services: OwnDisk, engine: FakeEngine
) -> None:
    """It would be begun twice, and one of the two would be nobody's."""
    engine.gate.clear()
    creating = asyncio.create_task(services.create(replace(VLLM, replicas=2)))
    while not engine.submitted:
        await asyncio.sleep(0)
    second = services.rows()[1]
    with pytest.raises(StillEnds, match="already"):
        await services.restart(second.id)
    engine.gate.set()
    await creating
    assert len(engine.submitted) == 2
    assert {row.job_id for row in services.rows()} == engine.jobs


async def test_what_is_being_forgotten_is_not_started_again(
    services: OwnDisk, engine: FakeEngine
) -> None:
    """Else it would run on, and nobody would know of it."""
    row = await services.create(VLLM)
    engine.forgetting.clear()
    purging = asyncio.create_task(services.cancel(row.id, purge=True))
    while not engine.forgotten:
        await asyncio.sleep(0.001)
    with pytest.raises(NotFound):
        await services.restart(row.id)
    engine.forgetting.set()
    await purging
    assert engine.submitted == [row.id]


async def test_what_was_started_again_is_not_forgotten_for_what_it_was(
    services: OwnDisk, engine: FakeEngine
) -> None:
    row = await services.create(VLLM)
    engine.left.clear()
    restarting = asyncio.create_task(services.restart(row.id))
    await asyncio.sleep(0)
    purging = asyncio.create_task(services.cancel(row.id, purge=True))
    await asyncio.sleep(0.05)
    engine.left.set()
    await asyncio.gather(restarting, purging, return_exceptions=True)
    assert len(engine.jobs) == len(services.rows()), "it runs and is known, or neither"


async def test_what_cannot_be_forgotten_stays_in_its_place(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: str) -> None:
        raise OSError(28, "No space left on device")

    made = [await services.create(VLLM) for _ in range(3)]
    monkeypatch.setattr(services.store, "remove", full)
    with pytest.raises(NotKept, match="No space left"):
        await services.cancel(made[1].id, purge=True)
    assert {row.id for row in services.rows()} == {one.id for one in made}
    assert services.rows()[1].status == "cancelled"


async def test_a_group_answers_under_its_own_id(services: OwnDisk) -> None:
    group = await services.create(replace(VLLM, replicas=2))
    assert isinstance(group, ServiceGroup)
    assert group.status == "pending"
    assert services.row(group.id).id == group.id
    assert len(services.logs(group.id)) == 2
    assert (await services.cancel(group.id, purge=True)).job_id == group.id
    with pytest.raises(NotFound, match=r"^Service not found$"):
        services.row(group.id)


async def test_what_its_engine_cannot_give_leaves_no_service_and_no_other_is_forgotten(
    services: OwnDisk, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = await services.create(VLLM)
    services.saw(over.id, Ended("failed", "boom"))
    monkeypatch.setattr(service_loop, "MOST", 1)
    with pytest.raises(ClientError, match="too many GPUs"):
        await services.create(replace(VLLM, config={"resources": {"gpu": 2}}))
    with pytest.raises(ClientError, match="more than the"):
        await services.create(replace(VLLM, config={"resources": {"gpu": 99}}))
    assert [row.id for row in services.rows()] == [over.id]
    assert engine.submitted == [over.id]


async def test_what_it_gets_less_of_is_told_as_long_as_it_is_known(services: OwnDisk) -> None:
    wish = replace(VLLM, replicas=2, config={"resources": {"gpu": 1}})
    group = await services.create(wish)
    assert isinstance(group, ServiceGroup)
    assert [row.warnings for row in group.replicas] == [("too few GPUs",)] * 2
    assert [row.warnings for row in services.rows()] == [("too few GPUs",)] * 2
    assert [one.warnings for one in services.store.load()] == [("too few GPUs",)] * 2


async def test_going_down_is_no_end_of_a_service(services: OwnDisk) -> None:
    row = await services.create(VLLM)
    services.saw(row.id, Up(answers=True, host="n1", port=8001))
    services.hush()
    services.saw(row.id, Ended("cancelled", "the daemon went down"))
    assert services.rows()[0].status == "running"
