"""The job of one relay: found again or submitted, looked at, ended."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from msgspec.structs import replace

from atoll.wire.relay import KEY
from atoll_supervisor.core.agent_job import (
    SCRIPT,
    JobOrder,
    JobRecord,
    environment_of,
    script_of,
    spec_of,
)
from atoll_supervisor.core.services.batch import ENDPOINT, endpoint_of
from atoll_supervisor.core.services.slurm_job import WAITING, Job, by_mark, job_of
from atoll_supervisor.jobs.claims import Claim, claim_new, claims_left
from atoll_supervisor.ports import Cluster
from atoll_supervisor.shell.slurm import SlurmDown, SlurmUnsure


class Jobs:
    """This agent's jobs on the cluster. Methods raise SlurmDown when it does not answer."""

    def __init__(self, order: JobOrder, cluster: Cluster) -> None:
        self._order = order
        self._cluster = cluster
        self._root = Path(order.folder)

    async def left(self) -> Claim | None:
        """The job that a killed relay has left, if it runs what is wanted; any other is ended.

        Without an answer of the cluster, one that has told its address counts as running.
        """
        claims = claims_left(self._root)
        if not claims:
            return None
        try:
            jobs = await self._cluster.jobs()
        except SlurmDown:
            return _kept(
                claims, [claim for claim in claims if self._fits(claim) and place_of(claim)]
            )
        fits = [claim for claim in claims if self._fits(claim) and _is_alive(_of(claim, jobs))]
        for claim in claims:
            if claim not in fits[:1]:
                await self._end(claim, _of(claim, jobs))
        for claim in fits[:1]:
            job = _of(claim, jobs)
            claim.write(replace(claim.record, job_id=job.job_id if job else ""))
            return claim
        return None

    async def submit(self, environ: Mapping[str, str], front: Mapping[str, str]) -> Claim:
        """A new job; raises ClientError when the cluster can never run it."""
        uuid, key = str(uuid4()), secrets.token_urlsafe(32)
        name = f"{self._order.slug}-{uuid[:8]}"
        record = JobRecord(uuid=uuid, name=name, checksum=self._order.checksum, key=key)
        claim = claim_new(self._root, record)
        folder = str(claim.folder)
        script = claim.folder / SCRIPT
        script.write_text(script_of(self._order, folder))
        try:
            given = {**environment_of(environ), **front, KEY: key}
            spec = spec_of(self._order, record, folder)
            job_id = await self._cluster.submit(spec, script, given)
        except SlurmUnsure:
            claim.release()  # whoever comes next finds it in the queue, or not
            raise
        except BaseException:
            claim.remove()
            raise
        claim.write(replace(record, job_id=job_id))
        return claim

    async def look(self, claim: Claim) -> Job | None:
        """What the cluster says of it, None when it knows no such job. Ends what others left."""
        jobs = await self._cluster.jobs()
        for other in await asyncio.to_thread(claims_left, self._root):  # a disk that nodes share
            await self._end(other, _of(other, jobs))
        return _of(claim, jobs)

    async def completed(self, claim: Claim) -> Job | None:
        """How a job that the cluster has forgotten ended, where it keeps a list of those."""
        return await self._cluster.completed(claim.record.name)

    async def cancel(self, claim: Claim) -> None:
        """End it now, wherever it is."""
        await self._cluster.cancel(claim.record.job_id, claim.record.name)

    def _fits(self, claim: Claim) -> bool:
        record = claim.record
        return record.checksum == self._order.checksum and not record.leaving

    async def _end(self, claim: Claim, job: Job | None) -> None:
        """A job that is nobody's; one that cannot be ended now is left to a later look."""
        try:
            if job is not None and not job.is_over:
                await self._cluster.cancel(job.job_id, claim.record.name)
        except SlurmDown:
            claim.release()
        else:
            await asyncio.to_thread(claim.remove)


def place_of(claim: Claim) -> tuple[str, int] | None:
    """Address and port that the job has written, None when it has not yet."""
    return endpoint_of(claim.read(ENDPOINT).strip(), claim.record.job_id, 0)


def _kept(claims: Sequence[Claim], fits: Sequence[Claim]) -> Claim | None:
    """The first that fits; the others are left as they are."""
    for claim in claims:
        if claim not in fits[:1]:
            claim.release()
    return fits[0] if fits else None


def _of(claim: Claim, jobs: Sequence[Job]) -> Job | None:
    return job_of(by_mark(jobs), claim.record.uuid, claim.record.job_id)


def _is_alive(job: Job | None) -> bool:
    return job is not None and (job.state in WAITING or job.is_running)
