"""Gives services to a cluster: the job of a start, and one that takes another one's place."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from atoll.adapters.private import private_directory
from atoll.config.places import Places
from atoll.errors import AtollError, ClientError
from atoll_supervisor.core.services.batch import environment_of, script_of, spec_of
from atoll_supervisor.core.services.record import Job, Record
from atoll_supervisor.keeper.logfile import rotated
from atoll_supervisor.ports import Cluster
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.slurm import SlurmDown, SlurmUnsure


class Marks:
    """What is known of starts beside the queue, by their uuids: one that is begun again is new.

    Of one `under_way` the queue says nothing yet, and of one that is `fresh` a list of the
    queue that is being read may say nothing; of one that is `unsure` it is not known
    whether there is a job; one that is `settled` has surely none. One that is `owed` has a
    job whose end the cluster has not heard of.
    """

    def __init__(self) -> None:
        self.under_way: set[str] = set()
        self.fresh: set[str] = set()
        self.unsure: set[str] = set()
        self.settled: set[str] = set()
        self.owed: set[str] = set()


class Queueing:
    """Submits jobs."""

    def __init__(self, slurm: Cluster, places: Places, python: str, marks: Marks) -> None:
        self.submitted = asyncio.Event()
        self._slurm = slurm
        self._folder = places.state / "services"
        self._logs = places.logs
        self._python = python
        self._marks = marks

    def folder(self, record: Record) -> Path:
        """What a service has on the disk."""
        return self._folder / record.id

    def log(self, record: Record) -> Path:
        """What it prints."""
        return self._logs / f"service.{record.id}.log"

    async def submit(self, record: Record) -> Record:
        """Give it to the cluster; raises ClientError, SlurmDown, NotKept."""
        with self._under_way(record):
            await asyncio.to_thread(_set_aside, self.log(record))
            return await self._queue(record)

    async def replace(self, record: Record, anew: Record) -> Record:
        """Queue the new job behind the old one, which is ended last; raises as `submit` does."""
        if record.uuid in self._marks.under_way | self._marks.unsure:
            raise SlurmDown(f"{record.name} is just being submitted: ask again in a moment")
        try:
            with self._under_way(anew):
                if record.job.job_id:  # of a name that no job has: could it be ended?
                    await self._slurm.cancel(record.job.job_id, anew.uuid)
                queued = await self._queue(anew, after=record.job.job_id)
                await asyncio.to_thread(_set_aside, self.log(record))
        except (ClientError, SlurmDown, NotKept) as error:
            raise type(error)(f"{record.name} goes on as it is: {error}") from None
        return queued

    async def _queue(self, record: Record, after: str = "") -> Record:
        folder = self.folder(record)
        ours = {
            "python": self._python,
            "data": str(folder),
            "name": record.name,
            "key": record.key,
        }
        script = folder / "job.sh"
        try:
            await asyncio.to_thread(private_directory, folder)
            await asyncio.to_thread(script.write_text, script_of(record, ours, str(folder)))
            job_id = await self._slurm.submit(
                spec_of(record, str(self.log(record)), str(folder), after),
                script,
                environment_of(record, ours),
            )
        except SlurmUnsure:
            self._marks.unsure.add(record.uuid)
            raise
        except AtollError:
            self._marks.settled.add(record.uuid)  # there is surely no job
            raise
        except OSError as error:
            self._marks.settled.add(record.uuid)
            raise NotKept(f"{record.name} cannot be submitted: {error}") from None
        return replace(record, job=Job(job_id=job_id))

    @contextmanager
    def _under_way(self, record: Record) -> Generator[None]:
        self._marks.under_way.add(record.uuid)
        self._marks.fresh.add(record.uuid)
        try:
            yield
        finally:
            self._marks.under_way.discard(record.uuid)
            self.submitted.set()


def _set_aside(log: Path) -> None:
    """What an earlier job has written says nothing of the next one's end."""
    with suppress(OSError):
        log.replace(rotated(log, 1))
