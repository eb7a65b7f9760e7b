"""The engine `slurm`: whose job is whose, and what is looked at, with a cluster that obeys."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from atoll.adapters.listening import listen, port_of
from atoll.config.places import Places
from atoll.errors import ClientError
from atoll_supervisor.core.services.evidence import Ended, Evidence, Kept, Queued, Up
from atoll_supervisor.core.services.recipe import HealthCheck
from atoll_supervisor.core.services.record import Job as JobKey
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.loop.services.slurm import SlurmEngine
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.slurm import SlurmDown, SlurmUnsure
from tests.fakes.cluster import FakeCluster
from tests.fakes.model_server import answer, serving
from tests.fakes.records import ORDER, service

pytestmark = pytest.mark.anyio
LIMIT = 20


def record(name: str, job_id: str = "", **other: object) -> Record:
    order = replace(ORDER, health=HealthCheck(timeout=3))
    job = JobKey(job_id=job_id, submitted=float(job_id or 0))
    return replace(service(name, order, engine="slurm", job=job), **other)


class Desk:
    """Holds records as the loop of services does, and what the engine has told of them."""

    def __init__(self, folder: Path) -> None:
        self.records: dict[str, Record] = {}
        self.seen: dict[str, list[Evidence]] = {}
        self.notes: list[str] = []
        self.cluster = FakeCluster()
        self.places = Places(
            state=folder / "state", runtime=folder / "run", data=folder / "d", config=folder / "c"
        )
        self.engine = SlurmEngine(
            self.cluster,
            self.places,
            lambda: tuple(self.records.values()),
            self.saw,
            self.placed,
            "python",
            lambda text, _: self.notes.append(text),
        )

    def saw(self, service: str, evidence: Evidence, uuid: str = "") -> None:
        if uuid in ("", self.records[service].uuid):
            self.seen.setdefault(service, []).append(evidence)

    def placed(self, service: str, job: JobKey, uuid: str) -> None:
        if self.records[service].uuid == uuid:
            self.records[service] = replace(self.records[service], job=job)

    def add(self, made: Record) -> Record:
        self.records[made.id] = made
        return made

    def endpoint(self, made: Record, job_id: str, port: int) -> None:
        folder = self.places.state / "services" / made.id
        folder.mkdir(parents=True)
        (folder / "endpoint").write_text(f"{job_id} 0 127.0.0.1 {port}\n")

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not true():
                await asyncio.sleep(0.01)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    running = asyncio.create_task(made.engine.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_strangers_job_with_our_mark_is_nobody(desk: Desk) -> None:
    """Who sees the queue sees our marks; such a job must neither end a service nor hide its own."""
    ours = desk.cluster.put("atoll:u-a", "s-a")
    desk.cluster.put("atoll:u-a", "s-a", "COMPLETED")
    later = desk.cluster.put("atoll:u-b", "s-b", "PENDING")
    desk.cluster.put("atoll:u-b", "s-b", "FAILED")
    desk.add(record("a", ours.job_id))
    desk.add(record("b"))  # a daemon that was killed has not been told its number
    await desk.until(lambda: len(desk.seen.get("a", [])) > 1 and len(desk.seen.get("b", [])) > 1)
    assert not any(isinstance(one, Ended) for one in desk.seen["a"] + desk.seen["b"])
    assert (desk.records["a"].job_id, desk.records["b"].job_id) == (ours.job_id, later.job_id)
    desk.cluster.queue.remove(ours)
    await desk.until(lambda: isinstance(desk.seen["a"][-1], Ended))


async def test_a_job_that_cannot_be_ended_holds_no_other_up(desk: Desk) -> None:
    first, second = desk.cluster.put("atoll:u-a", "s-a"), desk.cluster.put("atoll:u-b", "s-b")
    desk.cluster.stubborn[first.job_id] = SlurmDown("scancel failed: Access denied")
    desk.add(record("a", first.job_id, status="cancelled"))
    desk.add(record("b", second.job_id))
    await desk.until(lambda: len(desk.seen.get("b", [])) > 3)
    assert desk.notes == ["scancel failed: Access denied"], "told once, not at each look"


async def test_a_server_that_does_not_answer_holds_no_other_up(desk: Desk) -> None:
    with listen("127.0.0.1", 0) as silent:  # takes connections and says nothing
        for name in "ab":
            job = desk.cluster.put(f"atoll:u-{name}", f"s-{name}")
            desk.endpoint(desk.add(record(name, job.job_id)), job.job_id, port_of(silent))
        async with serving(lambda _: answer(b"{}")) as server:
            job = desk.cluster.put("atoll:u-c", "s-c")
            desk.endpoint(desk.add(record("c", job.job_id)), job.job_id, server.port)
            await desk.until(lambda: "c" in desk.seen)
            (up,) = desk.seen["c"]
            assert isinstance(up, Up)
            assert up.answers
            assert "a" not in desk.seen, "it is still being asked"
            await desk.engine.forget(desk.records.pop("c"))
            await server.left.wait()


@pytest.mark.parametrize("place", ["127.0.0.1 99999", "127.0.0.1 0", "127.0.0.1 \u0663", "[x 80"])
async def test_an_address_that_is_none_is_not_gone_to(desk: Desk, place: str) -> None:
    job = desk.cluster.put("atoll:u-a", "s-a")
    made = desk.add(record("a", job.job_id))
    desk.endpoint(made, job.job_id, 1)
    (desk.places.state / "services/a/endpoint").write_text(f"{job.job_id} 0 {place}\n")
    await desk.until(lambda: "a" in desk.seen)
    assert desk.seen["a"][0] == Up(answers=False, state="RUNNING")
    assert desk.notes == []


async def test_what_was_seen_of_a_start_before_says_nothing_of_this_one(desk: Desk) -> None:
    """A person starts a hung server again while it is being asked."""
    with listen("127.0.0.1", 0) as silent:
        job = desk.cluster.put("atoll:u-a", "s-a")
        hung = desk.add(record("a", job.job_id, status="running"))
        over = desk.add(record("b", "77", status="failed"))
        desk.endpoint(hung, job.job_id, port_of(silent))
        silent.setblocking(False)
        async with asyncio.timeout(LIMIT):
            asked, _ = await asyncio.get_running_loop().sock_accept(silent)
        for one in (hung, over):
            desk.add(replace(one, uuid=f"{one.uuid}-2", status="pending", job=JobKey()))
        await asyncio.gather(*(desk.engine.submit(desk.records[one]) for one in "ab"))
        asked.close()
        await desk.until(lambda: all(len(desk.seen.get(one, [])) > 1 for one in "ab"))
        assert all(isinstance(one, Queued) for one in desk.seen["a"] + desk.seen["b"])


async def test_one_that_is_being_submitted_is_neither_gone_nor_forgotten(desk: Desk) -> None:
    """Started again now it would have two jobs, of which one is nobody's."""
    made = desk.add(record("a"))
    desk.cluster.gate.clear()
    submitting = asyncio.create_task(desk.engine.submit(made))
    await asyncio.sleep(0)
    assert not await desk.engine.gone(made)
    with pytest.raises(SlurmDown, match="just being submitted"):
        await desk.engine.forget(made)
    desk.cluster.gate.set()
    await submitting
    assert await desk.engine.gone(made)


async def test_no_job_is_forgotten_because_its_number_was_never_told(tmp_path: Path) -> None:
    """The daemon was killed after sbatch; nobody but us would ever end that job."""
    desk = Desk(tmp_path)
    made = desk.add(record("a", status="cancelled"))
    desk.cluster.fault = SlurmDown("slurmctld does not answer")
    with pytest.raises(SlurmDown):
        await desk.engine.forget(made)
    desk.cluster.fault = None
    job = desk.cluster.put("atoll:u-a", "s-a")
    await desk.engine.forget(made)
    assert desk.cluster.ended == [job.job_id]


def break_script(desk: Desk) -> None:
    (desk.places.state / "services/a/job.sh").mkdir(parents=True)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (ClientError("refused"), ClientError),
        (SlurmDown("no sbatch"), SlurmDown),
        (None, NotKept),
    ],
)
async def test_what_was_surely_not_queued_is_forgotten_without_the_cluster(
    tmp_path: Path, fault: Exception | None, raised: type[Exception]
) -> None:
    desk = Desk(tmp_path)
    made = desk.add(record("a"))
    desk.cluster.refusal = fault
    if fault is None:
        break_script(desk)
    with pytest.raises(raised):
        await desk.engine.submit(made)
    desk.cluster.fault = SlurmDown("slurmctld does not answer")
    await desk.engine.forget(made)


async def test_a_request_whose_answer_is_lost_is_not_forgotten(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    made = desk.add(record("a"))
    desk.cluster.refusal = SlurmUnsure("sbatch did not answer")
    forgetting: list[Callable[[Record], Awaitable[None]]] = [desk.engine.cancel, desk.engine.forget]
    with pytest.raises(SlurmUnsure):
        await desk.engine.submit(made)
    for forget in forgetting:
        with pytest.raises(SlurmDown, match="may have been queued"):
            await forget(made)


async def test_a_job_takes_the_place_of_another_only_when_it_is_queued(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    old = desk.cluster.put("atoll:u-a", "s-a")
    made = desk.add(record("a", old.job_id))
    anew = replace(made, uuid="u-new", job=JobKey())
    desk.cluster.refusal = ClientError("the partition is closed")
    with pytest.raises(ClientError, match=r"s-a goes on as it is: the partition is closed"):
        await desk.engine.replace(made, anew)
    assert desk.cluster.ended == []
    desk.cluster.refusal = None
    placed = await desk.engine.replace(made, anew)
    assert desk.cluster.specs[-1].after == old.job_id, "it begins when the old one has ended"
    assert desk.cluster.ended == [], "that is for who keeps the new one"
    assert placed.job_id != old.job_id


async def test_a_job_that_should_have_taken_a_place_and_did_not_is_ended(desk: Desk) -> None:
    old = desk.cluster.put("atoll:u-a", "s-a")
    made = desk.add(record("a", old.job_id, others=("u-new",)))
    desk.cluster.stubborn[old.job_id] = SlurmDown("slurmctld does not answer")
    with pytest.raises(SlurmDown, match="s-a goes on as it is"):
        await desk.engine.replace(made, replace(made, uuid="u-new", job=JobKey()))
    assert desk.cluster.specs == [], "what cannot be ended needs no successor"
    desk.cluster.put("atoll:u-new", "s-a")  # a daemon that was killed had queued it
    await desk.until(lambda: desk.cluster.ended == ["2"])
    assert desk.records["a"] == made


async def test_a_job_that_takes_its_place_during_a_look_is_not_ended_by_it(desk: Desk) -> None:
    first = desk.cluster.put("atoll:u-a", "s-a")
    old, new = desk.cluster.put("atoll:u-b", "s-b"), desk.cluster.put("atoll:u-new", "s-b")
    desk.cluster.ending.clear()
    desk.add(record("a", first.job_id, status="cancelled"))
    desk.add(record("b", old.job_id, others=("u-new",)))
    await desk.until(lambda: "a" in desk.seen)  # and its end is waited for
    desk.add(record("b", new.job_id, uuid="u-new"))
    desk.cluster.ending.set()
    await desk.until(lambda: "b" in desk.seen)
    assert set(desk.cluster.ended) == {first.job_id}


async def test_nothing_of_one_that_is_forgotten_is_left(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    own, other = desk.cluster.put("atoll:u-a", "s-a"), desk.cluster.put("atoll:u-b", "s-a")
    await desk.engine.forget(desk.add(record("a", own.job_id, others=("u-b", "u-c"))))
    assert desk.cluster.ended == [own.job_id, other.job_id]


async def test_one_whose_end_the_cluster_has_not_heard_of_is_not_gone(desk: Desk) -> None:
    job = desk.cluster.put("atoll:u-a", "s-a")
    made = desk.add(record("a", job.job_id, status="cancelled"))
    desk.cluster.fault = SlurmDown("slurmctld does not answer")
    with pytest.raises(SlurmDown, match="counts as ended"):
        await desk.engine.cancel(made)
    assert desk.engine.still_ends(made)
    assert not await desk.engine.gone(made)
    desk.cluster.fault = None
    await desk.until(lambda: not desk.engine.still_ends(made))
    assert job.job_id in desk.cluster.ended
    assert await desk.engine.gone(made)


async def test_one_that_is_over_tells_how_far_its_job_is(desk: Desk) -> None:
    job = desk.cluster.put("atoll:u-a", "s-a", "COMPLETING")
    desk.add(record("a", job.job_id, status="cancelled"))
    await desk.until(lambda: "a" in desk.seen)
    assert desk.seen["a"][0] == Kept("COMPLETING")
    assert desk.cluster.ended == []
