"""A cluster of jobs that are only told of: `ports.Cluster` for what no real one does at will."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from atoll_supervisor.core.services.job_spec import JobSpec
from atoll_supervisor.core.services.slurm_job import Job


class FakeCluster:
    """Queues what it is given; `fault` is raised by whatever is asked, `stubborn` cannot be ended.

    Submissions wait for `gate`, ends for `ending`.
    """

    def __init__(self) -> None:
        self.queue: list[Job] = []
        self.ended: list[str] = []
        self.specs: list[JobSpec] = []
        self.fault: Exception | None = None
        self.refusal: Exception | None = None
        self.stubborn: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.ending = asyncio.Event()
        self.ending.set()

    def put(self, comment: str, name: str = "x", state: str = "RUNNING") -> Job:
        """A job that somebody has queued."""
        number = len(self.queue) + 1
        job = Job(job_id=str(number), states=(state,), name=name, comment=comment, submitted=number)
        self.queue.append(job)
        return job

    async def submit(self, spec: JobSpec, script: Path, environment: Mapping[str, str]) -> str:
        await self.gate.wait()
        if self.refusal or self.fault:
            raise self.refusal or self.fault or AssertionError
        self.specs.append(spec)
        return self.put(spec.comment, spec.name, "PENDING").job_id

    async def jobs(self) -> tuple[Job, ...]:
        if self.fault:
            raise self.fault
        return tuple(self.queue)

    async def cancel(self, job_id: str, name: str) -> None:
        await self.ending.wait()
        if fault := self.fault or self.stubborn.get(job_id):
            raise fault
        if any(job.job_id == job_id and job.name == name for job in self.queue):
            self.ended.append(job_id)

    async def completed(self, name: str) -> Job | None:
        return None
