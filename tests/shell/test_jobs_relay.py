"""The life of a relay, with a cluster that obeys."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from atoll.adapters.channel import Channel
from atoll.adapters.listening import listen
from atoll_supervisor.core.agent_job import OUTPUT, JobOrder
from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.slurm_job import Job
from atoll_supervisor.jobs.held import Jobs
from atoll_supervisor.jobs.relay import Relay
from tests.fakes.cluster import FakeCluster

pytestmark = pytest.mark.anyio
LIMIT = 20


def order_in(folder: Path) -> JobOrder:
    return JobOrder(
        slug="a",
        manifest="/a/agent.toml",
        checksum="c",
        folder=str(folder),
        python="python",
        start_timeout=10,
        stop_timeout=10,
        spec=JobSpec(name="", comment="", output="", folder=""),
    )


class Dying(FakeCluster):
    """Its jobs say something and are over at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def jobs(self) -> tuple[Job, ...]:
        for job in self.queue:
            (self.folder / job.uuid / OUTPUT).write_text("Traceback: the last words\n")
        return tuple(replace(job, states=("FAILED",), exit_code=3 << 8) for job in self.queue)


async def test_the_last_words_of_a_job_are_in_its_agents_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it says as it ends is what a person looks for."""
    folder = tmp_path / "jobs"
    with listen("127.0.0.1", 0) as sock:
        relay = Relay(order_in(folder), Dying(folder), sock, Channel(), {})
        async with asyncio.timeout(LIMIT):
            end = await relay.run()
    assert (end.code, "the last words" in end.why) == (3, True)
    assert capfd.readouterr().out.splitlines()[-1] == "Traceback: the last words"
    assert list(folder.iterdir()) == [], "nothing is left of a job that is over"


async def test_a_strangers_job_with_our_mark_is_not_taken_for_ours(tmp_path: Path) -> None:
    cluster = FakeCluster()
    jobs = Jobs(order_in(tmp_path / "jobs"), cluster)
    claim = await jobs.submit({}, {})
    cluster.put(cluster.queue[0].comment, claim.record.name, "FAILED")
    cluster.queue.reverse()
    seen = await jobs.look(claim)
    assert seen is not None
    assert seen.job_id == claim.record.job_id
    claim.release()
    left = await jobs.left()
    assert left is not None, "it waits in the queue, whatever a stranger's does"
    left.release()
