"""The engine `slurm`: a service is a job, found again by our uuid in its comment.

Never by its number alone: SLURM forgets jobs and hands their numbers out again
(system.md 4.3). One look at the whole queue serves every service; a cluster that
does not answer changes nothing but what a running server itself says.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from atoll.adapters.private import private_directory
from atoll.config.places import Places
from atoll_supervisor.core.services.batch import (
    ENDPOINT,
    endpoint_of,
    environment_of,
    script_of,
    spec_of,
)
from atoll_supervisor.core.services.evidence import Ended, Up
from atoll_supervisor.core.services.record import Job as JobKey
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.core.services.slurm_job import LOST, Job, Seen, evidence_of
from atoll_supervisor.ports import Cluster, SeesServices
from atoll_supervisor.shell.probe import Prober
from atoll_supervisor.shell.services.written import remove_written
from atoll_supervisor.shell.slurm import SlurmDown, SlurmUnsure

SOON, LATER = 0.5, 2.0
"""Seconds between two looks: while something is on its way, and when everything is steady."""
MISSES = 3
"""Looks in a row that must not find a job before it counts as lost, or as never queued."""
OUTPUT = 65_536
"""Bytes at the end of a job's output that are looked through."""

Note = Callable[[str, str], object]
Starts = tuple[str, int]
"""Which start of which job: its id, and how often it was requeued."""


class SlurmEngine:
    """Submits, watches and ends jobs."""

    def __init__(
        self,
        slurm: Cluster,
        places: Places,
        records: Callable[[], Iterable[Record]],
        saw: SeesServices,
        placed: Callable[[str, JobKey], None],
        python: str,
        note: Note,
    ) -> None:
        self._fault = ""
        self._note = note
        self._slurm = slurm
        self._folder = places.state / "services"
        self._logs = places.logs
        self._records = records
        self._saw = saw
        self._placed = placed
        self._python = python
        self._misses: dict[str, int] = {}
        self._probers: dict[str, tuple[Starts, Prober]] = {}
        self._submitting: set[str] = set()
        self._unsure: set[str] = set()
        self._settled: set[str] = set()
        self._submitted = asyncio.Event()

    async def submit(self, record: Record) -> Record:
        """Give it to the cluster."""
        folder = await asyncio.to_thread(private_directory, self._folder / record.id)
        ours = {
            "python": self._python,
            "data": str(folder),
            "name": record.name,
            "key": record.key,
        }
        script = folder / "job.sh"
        await asyncio.to_thread(script.write_text, script_of(record, ours, str(folder)))
        self._submitting.add(record.id)
        try:
            job_id = await self._slurm.submit(
                spec_of(record, str(self._log(record)), str(folder)),
                script,
                environment_of(record, ours),
            )
        except SlurmUnsure:
            self._unsure.add(record.id)
            raise
        finally:
            self._submitting.discard(record.id)
            self._submitted.set()
        return replace(record, job=JobKey(job_id=job_id))

    def adopt(self, record: Record) -> Record:
        """Nothing: the next look finds its job, or that it is lost."""
        return record

    async def cancel(self, record: Record) -> None:
        """End its job; raises SlurmDown, and then a later look does it."""
        if record.id in self._unsure:
            raise SlurmDown(f"{record.name} may have been queued; if so, a later look ends it")
        if not record.job.job_id:
            return
        try:
            await self._slurm.cancel(record.job.job_id, record.name)
        except SlurmDown as error:
            soon = "its job is ended as soon as the cluster answers"
            raise SlurmDown(f"{record.name} counts as ended, and {soon}: {error}") from None

    async def forget(self, record: Record) -> None:
        """Remove what it has written; raises SlurmDown when its job cannot be ended.

        A job that is ending may write a last line, which nobody reads.
        """
        if record.id not in self._settled:
            await self.cancel(record)
        self._drop(record)
        await asyncio.to_thread(remove_written, self._folder / record.id, self._log(record))

    def logs(self, record: Record) -> tuple[tuple[str, Path], ...]:
        """The job's output, both streams in one file."""
        return (("SLURM OUTPUT", self._log(record)),)

    async def run(self) -> None:
        """Look at the queue again and again."""
        while True:
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
                await self._submitted.wait()
        self._submitted.clear()

    def _concerns(self, record: Record) -> bool:
        return record.engine == "slurm" and record.id not in self._settled

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
        try:
            jobs = await self._slurm.jobs()
            self._tell("")
        except SlurmDown as error:
            self._tell(str(error))
            await self._without_cluster(records)
            return
        ours = {job.uuid: job for job in jobs if job.uuid}
        for record in records:
            job = ours.get(record.uuid)
            if record.is_final:
                await self._end(record, job)
            elif job is not None:
                await self._found(record, job)
            elif record.id not in self._submitting:
                await self._missed(record)

    async def _found(self, record: Record, job: Job) -> None:
        self._misses.pop(record.id, None)
        key = JobKey(cluster=job.cluster, job_id=job.job_id, submitted=job.submitted)
        if record.job != key:
            self._placed(record.id, key)
        seen = await self._seen(record, job)
        self._saw(record.id, evidence_of(job, seen))
        if job.is_over:
            self._drop(record)

    async def _seen(self, record: Record, job: Job) -> Seen:
        output = await asyncio.to_thread(_last, self._log(record))
        if job.state != "RUNNING":
            return Seen(output=output)
        path = self._folder / record.id / ENDPOINT
        text = (await asyncio.to_thread(_last, path)).strip()
        place = endpoint_of(text, job.job_id, job.restarts)
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
        if not self._is_missing(record):
            return
        self._drop(record)
        job = await self._slurm.completed(record.name)
        if job is None or not job.is_over:
            self._saw(record.id, Ended("failed", LOST))
        else:
            output = await asyncio.to_thread(_last, self._log(record))
            self._saw(record.id, evidence_of(job, Seen(output=output)))

    def _is_missing(self, record: Record) -> bool:
        """Whether enough looks in a row have not found its job, with this one."""
        misses = self._misses[record.id] = self._misses.get(record.id, 0) + 1
        return misses >= MISSES

    async def _end(self, record: Record, job: Job | None) -> None:
        """A service that is over has no job: it may have been ended while nobody answered."""
        if record.id in self._submitting:
            return
        if job is None and record.id in self._unsure and not self._is_missing(record):
            return  # a request whose answer is lost may arrive late
        if job is None or job.is_over:
            self._settled.add(record.id)
            self._unsure.discard(record.id)
        elif job.state != "COMPLETING":
            await self._slurm.cancel(job.job_id, record.name)

    async def _without_cluster(self, records: list[Record]) -> None:
        """Jobs run on without slurmctld: a server that was reached before is asked itself."""
        for record in records:
            known = self._probers.get(record.id)
            if record.is_final or known is None or not record.host:
                continue
            found = await known[1].probe()
            reason = "" if found.ok else found.reason
            up = Up(answers=found.ok, reason=reason, state=record.state, restarts=record.restarts)
            self._saw(record.id, up)

    def _prober(self, record: Record, starts: Starts, place: tuple[str, int]) -> Prober:
        known = self._probers.get(record.id)
        if known is not None and known[0] == starts:
            return known[1]
        self._drop(record)
        health = record.order.health
        prober = Prober(place, path=health.path, limit=health.timeout, ours=False)
        self._probers[record.id] = (starts, prober)
        return prober

    def _drop(self, record: Record) -> None:
        self._misses.pop(record.id, None)
        if known := self._probers.pop(record.id, None):
            known[1].close()

    def _log(self, record: Record) -> Path:
        return self._logs / f"service.{record.id}.log"


def _last(path: Path) -> str:
    """The end of a file, "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - OUTPUT))
            return file.read(OUTPUT).decode(errors="replace")
    except OSError:
        return ""
