"""Starts of services: the first, one after an end, and one in the place of what is at work.

What is at work is given up only when its engine has taken the next start and the disk
knows of it: a cluster that does not answer, or refuses the new job, costs nobody a
service that runs. A job of a start that is no service's is known by `Record.others`, and
ended: there is one for every start that a daemon may have died in.
"""

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress

from msgspec.structs import replace

from atoll.errors import AtollError
from atoll_supervisor.core.services.evidence import Ended, Evidence
from atoll_supervisor.core.services.machine import begun_again
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.loop.services.around import Around, StillEnds
from atoll_supervisor.loop.services.making import new_uuid
from atoll_supervisor.loop.services.records import Records
from atoll_supervisor.ports import ServiceEngine
from atoll_supervisor.shell.database import NotKept

Saw = Callable[[str, Evidence, str], None]
"""What is told of a service by its id and the uuid of the start."""


class Starts:
    """Begins services by their engines."""

    def __init__(self, around: Around, records: Records, saw: Saw) -> None:
        self._engines: Mapping[EngineName, ServiceEngine] = {}
        self._around = around
        self._records = records
        self._saw = saw
        self._beginning: set[str] = set()
        self._replacing: dict[str, tuple[Evidence, str] | None] = {}

    def begin(self, engines: Mapping[EngineName, ServiceEngine]) -> None:
        """Work with these from now on."""
        self._engines = engines

    @contextmanager
    def beginning(self, records: Iterable[Record]) -> Generator[None]:
        """While these are started nobody else may; raises StillEnds when somebody does already."""
        ids = {record.id for record in records}
        if taken := ids & self._beginning:
            told = ", ".join(sorted(taken))
            raise StillEnds(f"{told} is being started already: ask again in a moment")
        self._beginning |= ids
        try:
            yield
        finally:
            self._beginning -= ids

    def is_replacing(self, service: str) -> bool:
        """Whether one that is at work is being started again."""
        return service in self._replacing

    def put_off(self, service: str, evidence: Evidence, uuid: str) -> None:
        """The end of one that is being replaced is news only if it goes on as it was."""
        self._replacing[service] = (evidence, uuid)

    async def place(self, record: Record) -> Record:
        """Have its engine begin it; what somebody ended meanwhile is ended where it is now."""
        now = self._records.get(record.id)
        if now is None or now.uuid != record.uuid or now.is_final:
            return now or record
        placed = await self._engines[record.engine].submit(record)
        now = self._records.get(record.id)
        if now is None or now.uuid != record.uuid:
            await self.end(placed)
            return self._records.get(record.id) or placed
        host, port = now.host or placed.host, now.port or placed.port
        known = replace(now, job=placed.job, host=host, port=port)
        self._records.change(known)
        if known.is_final:
            await self.end(placed)
        else:
            await self._records.keep(known)
        return self._records.get(record.id) or known

    async def end(self, record: Record) -> None:
        """Nobody wants it any more."""
        with suppress(AtollError):  # the engine tries again at its next look
            await self._engines[record.engine].cancel(record)

    async def after_end(self, records: tuple[Record, ...]) -> None:
        """Start these again, which are over; the others of a group that is refused fail with it."""
        before = self._records.as_now(records)
        if not before:
            return
        anew = [begun_again(self._pruned(record), new_uuid()) for record in before]
        self._records.know(*anew)
        try:
            await self._records.keep(*anew)
        except NotKept:
            self._records.know(*(one for one in before if self._records.get(one.id)))
            raise
        for place, record in enumerate(anew):
            self._around.note(f"started again; before: {record.last_end}", record.name)
            try:
                await self.place(record)
            except AtollError as error:
                for other in anew[place:]:  # none is left to wait for a start that nobody makes
                    self._saw(other.id, Ended("failed", str(error)), other.uuid)
                raise

    async def in_place_of(self, records: Sequence[Record]) -> None:
        """Start these again, which are at work; one that cannot be goes on, if its engine can."""
        ends = await asyncio.gather(*map(self._in_place_of, records), return_exceptions=True)
        for error in filter(None, ends):
            raise error

    async def _in_place_of(self, record: Record) -> None:
        now = self._records.get(record.id)
        if now is None or now.uuid != record.uuid:
            return
        if now.is_final:
            await self.after_end((now,))
            return
        self._replacing[now.id] = None
        try:
            await self._replace(self._pruned(now))
        except AtollError as error:
            put_off = self._replacing.pop(now.id)
            if not self._engines[now.engine].goes_on(now):
                self._saw(now.id, _end_by(error), now.uuid)
            elif put_off is not None:
                self._saw(now.id, *put_off)
            raise
        finally:
            self._replacing.pop(now.id, None)

    async def _replace(self, record: Record) -> None:
        engine, anew = self._engines[record.engine], begun_again(record, new_uuid())
        marked = replace(record, others=(*record.others, anew.uuid))
        self._records.know(marked)
        await self._records.keep(marked)
        try:
            placed = await engine.replace(marked, anew)
        except AtollError:
            if not engine.may_have_job(anew.uuid):
                self._unmark(record.id, anew.uuid)
            raise
        now = self._records.get(record.id)
        if now is None or now.is_final:
            await self.end(placed)
            return
        self._around.note(placed.last_end, record.name)
        self._records.change(placed)
        await self._kept_instead(placed, now)
        await self.end(record)

    async def _kept_instead(self, placed: Record, before: Record) -> None:
        """Write it; what the disk does not take is undone, if its engine still has the old one."""
        try:
            await self._records.keep(placed)
        except NotKept:
            now = self._records.get(placed.id)
            if now and not now.is_final and self._engines[placed.engine].goes_on(before):
                self._records.change(before)
            raise

    def _unmark(self, service: str, uuid: str) -> None:
        """There surely is no job of this start."""
        if now := self._records.get(service):
            others = tuple(one for one in now.others if one != uuid)
            self._records.change(replace(now, others=others))

    def _pruned(self, record: Record) -> Record:
        """Without those of its former starts that surely have no job any more."""
        engine = self._engines[record.engine]
        return replace(record, others=tuple(filter(engine.may_have_job, record.others)))


def _end_by(error: AtollError) -> Ended:
    """How a service is over that was ended for a start that was not made."""
    if isinstance(error, StillEnds):
        return Ended("cancelled", "stopped by a user")
    return Ended("failed", str(error))
