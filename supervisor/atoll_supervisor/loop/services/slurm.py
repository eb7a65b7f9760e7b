"""The engine `slurm`: a service is a job, found again by our uuid in its comment.

Never by its number alone: SLURM forgets jobs and hands their numbers out again
(system.md 4.3). One look at the whole queue serves every service; a cluster that
does not answer changes nothing but what a running server itself says.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from atoll.config.places import Places
from atoll_supervisor.core.services.amounts import Resources
from atoll_supervisor.core.services.batch import (
    ENDPOINT,
    endpoint_of,
)
from atoll_supervisor.core.services.container import MARK
from atoll_supervisor.core.services.evidence import Ended, Kept, Up
from atoll_supervisor.core.services.record import Job as JobKey
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.core.services.slurm_job import (
    LOST,
    MISSES,
    Job,
    Seen,
    by_mark,
    evidence_of,
    job_of,
)
from atoll_supervisor.loop.services.queueing import Marks, Queueing
from atoll_supervisor.ports import Cluster, SeesServices
from atoll_supervisor.shell.probe import Prober
from atoll_supervisor.shell.services.written import last_of, remove_written
from atoll_supervisor.shell.slurm import SlurmDown

SOON, LATER = 0.5, 2.0
"""Seconds between two looks: while something is on its way, and when everything is steady."""

Note = Callable[[str, str], object]
Run = tuple[str, int]
"""Which run of which job: its id, and how often it was requeued."""


class SlurmEngine:
    """Submits, watches and ends jobs."""

    def __init__(
        self,
        slurm: Cluster,
        places: Places,
        records: Callable[[], Iterable[Record]],
        saw: SeesServices,
        placed: Callable[[str, JobKey, str], None],
        python: str,
        note: Note,
    ) -> None:
        self._fault = ""
        self._note = note
        self._slurm = slurm
        self._records = records
        self._saw = saw
        self._placed = placed
        self._misses: dict[str, int] = {}
        self._probers: dict[str, tuple[Run, Prober]] = {}
        self._marks = Marks()
        self._queueing = Queueing(slurm, places, python, self._marks)

    async def admit(self, _asked: Resources) -> tuple[str, ...]:
        """Whatever it is: the cluster knows what it has, and refuses the rest itself."""
        return ()

    async def submit(self, record: Record) -> Record:
        """Give it to the cluster."""
        return await self._queueing.submit(record)

    async def replace(self, record: Record, anew: Record) -> Record:
        """Queue the new job behind the old one, which is ended once the new one is kept."""
        return await self._queueing.replace(record, anew)

    def goes_on(self, record: Record) -> bool:
        """Yes: its job is ended last of all."""
        return not record.is_final

    def may_have_job(self, uuid: str) -> bool:
        """Whether no look has found that there is none."""
        return uuid not in self._marks.settled

    def adopt(self, record: Record) -> Record:
        """Nothing: the next look finds its job, or that it is lost."""
        return record

    async def cancel(self, record: Record) -> None:
        """End its job; raises SlurmDown, and then a later look does it."""
        if record.uuid in self._marks.unsure:
            raise SlurmDown(f"{record.name} may have been queued; if so, a later look ends it")
        if not record.job.job_id:
            return
        try:
            await self._slurm.cancel(record.job.job_id, record.name)
            self._marks.owed.discard(record.uuid)
        except SlurmDown as error:
            self._marks.owed.add(record.uuid)
            soon = "its job is ended as soon as the cluster answers"
            raise SlurmDown(f"{record.name} counts as ended, and {soon}: {error}") from None

    def still_ends(self, record: Record) -> bool:
        """Whether the cluster has not heard of its end; of what follows SLURM's own word tells."""
        return record.is_final and record.uuid in self._marks.owed | self._marks.unsure

    async def gone(self, record: Record) -> bool:
        """Yes, for the cluster takes a job's end upon itself; not while it is being submitted."""
        starts = {record.uuid, *record.others}
        return not starts & (self._marks.under_way | self._marks.owed)

    async def forget(self, record: Record) -> None:
        """Remove what it has written; raises SlurmDown when its job cannot be ended.

        A job that is ending may write a last line, which nobody reads.
        """
        if {record.uuid, *record.others} & self._marks.under_way:
            raise SlurmDown(f"{record.name} is just being submitted: ask again in a moment")
        if self._marks.unsure.intersection(record.others):
            raise SlurmDown(f"{record.name} may have been queued; if so, a later look ends it")
        if record.uuid not in self._marks.settled:
            await self._end_whichever(record)
        await self._end_others(record)
        self._drop(record)
        self._marks.settled.discard(record.uuid)
        await asyncio.to_thread(
            remove_written, self._queueing.folder(record), self._queueing.log(record)
        )

    def logs(self, record: Record) -> tuple[tuple[str, Path], ...]:
        """The job's output, both streams in one file."""
        return (("SLURM OUTPUT", self._queueing.log(record)),)

    async def run(self) -> None:
        """Look at the queue again and again."""
        while True:
            known = {uuid for one in self._records() for uuid in (one.uuid, *one.others)}
            self._marks.settled &= known
            records = [one for one in self._records() if self._concerns(one)]
            alive = [one for one in records if not one.is_final]
            if records:
                await self._try(records)
            steady = all(one.status == "running" for one in alive)
            await self._pause(LATER if steady else SOON)

    # inside

    async def _pause(self, seconds: float) -> None:
        """Until it is time for the next look, or a job has just been submitted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queueing.submitted.wait()
        self._queueing.submitted.clear()

    def _concerns(self, record: Record) -> bool:
        starts = {record.uuid, *record.others}
        return record.engine == "slurm" and not starts <= self._marks.settled

    async def _try(self, records: list[Record]) -> None:
        """A look that fails must not end the daemon."""
        try:
            await self._look(records)
        except Exception as error:  # noqa: BLE001  whatever it is, jobs and agents go on
            self._tell(f"the cluster cannot be looked at: {error}")

    def _tell(self, fault: str) -> None:
        """Once, however long it lasts; and that it is over."""
        if fault != self._fault:
            self._note(fault or "the cluster answers again", "")
        self._fault = fault

    async def _look(self, records: list[Record]) -> None:
        """Those that run are asked all at once: one that does not answer holds nobody up."""
        self._marks.fresh = set(self._marks.under_way)
        try:
            jobs = await self._slurm.jobs()
        except SlurmDown as error:
            self._tell(str(error))
            await self._without_cluster(records)
            return
        marked = by_mark(jobs)
        now = [
            (one, job_of(marked, one.uuid, one.job.job_id))
            for one in filter(self._concerns, self._records())  # as they are by now
        ]
        fault = ""
        for record, job in now:
            others = {uuid: job_of(marked, uuid, "") for uuid in record.others}
            fault = await self._fault_of_ends(record, job, others) or fault
        await asyncio.gather(
            *(self._found(one, job) for one, job in now if job is not None and not one.is_final)
        )
        self._tell(fault)

    async def _fault_of_ends(
        self, record: Record, job: Job | None, others: Mapping[str, Job | None]
    ) -> str:
        """Why what is over, or has no job, cannot be seen to; the other services still are."""
        try:
            if record.is_final:
                if job is not None:
                    self._saw(record.id, Kept(job.state), record.uuid)
                await self._end(record.name, record.uuid, job)
            elif job is None and record.uuid not in self._marks.fresh:
                await self._missed(record)
            for uuid, other in others.items():
                if not self._is_wanted(uuid):
                    await self._end(record.name, uuid, other)
        except SlurmDown as error:
            return str(error)
        return ""

    def _is_wanted(self, uuid: str) -> bool:
        """Whether that start has become a service's meanwhile."""
        return any(one.uuid == uuid for one in self._records())

    async def _found(self, record: Record, job: Job) -> None:
        self._misses.pop(record.uuid, None)
        key = JobKey(cluster=job.cluster, job_id=job.job_id, submitted=job.submitted)
        if record.job != key:
            self._placed(record.id, key, record.uuid)
        seen = await self._seen(record, job)
        self._saw(record.id, evidence_of(job, seen), record.uuid)
        if job.is_over:
            self._drop(record)

    async def _seen(self, record: Record, job: Job) -> Seen:
        output = await asyncio.to_thread(last_of, self._queueing.log(record))
        if not job.is_running:
            return Seen(output=output)
        folder = self._queueing.folder(record)
        text = (await asyncio.to_thread(last_of, folder / ENDPOINT)).strip()
        place = endpoint_of(text, job.job_id, job.restarts)
        if place is not None and await asyncio.to_thread((folder / MARK).exists):
            return Seen(output=output, builds=True)
        if place is None:
            return Seen(output=output)
        found = await self._prober(record, (job.job_id, job.restarts), place).probe()
        return Seen(
            output=output,
            host=place[0],
            port=place[1],
            answers=found.ok,
            silence="" if found.ok else found.reason,
        )

    async def _missed(self, record: Record) -> None:
        """The cluster answers and has no such job: what its completion file says, else lost."""
        if not self._is_missing(record.uuid):
            return
        self._drop(record)
        job = await self._slurm.completed(record.name)
        if job is None or not job.is_over or record.job.job_id not in ("", job.job_id):
            self._saw(record.id, Ended("failed", LOST), record.uuid)
        else:
            output = await asyncio.to_thread(last_of, self._queueing.log(record))
            self._saw(record.id, evidence_of(job, Seen(output=output)), record.uuid)

    def _is_missing(self, uuid: str) -> bool:
        """Whether enough looks in a row have not found its job, with this one."""
        misses = self._misses[uuid] = self._misses.get(uuid, 0) + 1
        return misses >= MISSES

    async def _end(self, name: str, uuid: str, job: Job | None) -> None:
        """Nobody wants this start any more: its job, if there is one, is ended."""
        if uuid in self._marks.fresh:
            return
        if job is None and uuid in self._marks.unsure and not self._is_missing(uuid):
            return  # a request whose answer is lost may arrive late
        if job is None or job.is_over:
            self._marks.settled.add(uuid)
            self._marks.unsure.discard(uuid)
            self._misses.pop(uuid, None)
        elif job.state != "COMPLETING":
            await self._slurm.cancel(job.job_id, name)
        self._marks.owed.discard(uuid)

    async def _end_whichever(self, record: Record) -> None:
        """Its job, also one whose number a daemon that was killed has not been told."""
        if record.job.job_id or record.uuid in self._marks.unsure:
            await self.cancel(record)
            return
        job = job_of(by_mark(await self._slurm.jobs()), record.uuid, "")
        if job is not None and not job.is_over:
            await self._slurm.cancel(job.job_id, record.name)

    async def _end_others(self, record: Record) -> None:
        """Jobs of starts that came to nothing."""
        left = [uuid for uuid in record.others if uuid not in self._marks.settled]
        marked = by_mark(await self._slurm.jobs() if left else ())
        for uuid in left:
            job = job_of(marked, uuid, "")
            if job is not None and not job.is_over:
                await self._slurm.cancel(job.job_id, record.name)

    async def _without_cluster(self, records: list[Record]) -> None:
        """Jobs run on without slurmctld: a server that was reached before is asked itself."""
        known = ((one, self._probers.get(one.id)) for one in records)
        await asyncio.gather(
            *(
                self._asked_itself(one, prober[1])
                for one, prober in known
                if prober is not None and one.host and not one.is_final
            )
        )

    async def _asked_itself(self, record: Record, prober: Prober) -> None:
        found = await prober.probe()
        reason = "" if found.ok else found.reason
        up = Up(answers=found.ok, reason=reason, state=record.state, restarts=record.restarts)
        self._saw(record.id, up, record.uuid)

    def _prober(self, record: Record, run: Run, place: tuple[str, int]) -> Prober:
        known = self._probers.get(record.id)
        if known is not None and known[0] == run:
            return known[1]
        self._drop(record)
        health = record.order.health
        prober = Prober(place, path=health.path, limit=health.timeout, ours=False)
        self._probers[record.id] = (run, prober)
        return prober

    def _drop(self, record: Record) -> None:
        self._misses.pop(record.uuid, None)
        if known := self._probers.pop(record.id, None):
            known[1].close()
