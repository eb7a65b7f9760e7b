"""Starts of services: the first, one after an end, and one in the place of what is at work.

What is at work is given up only when its engine has taken the next start: a cluster
that does not answer, or refuses the new job, costs nobody a service that runs.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from atoll.errors import AtollError
from atoll_supervisor.core.services.evidence import Ended
from atoll_supervisor.core.services.machine import begun_again
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.loop.services.around import Around, StillEnds
from atoll_supervisor.loop.services.making import new_uuid
from atoll_supervisor.loop.services.records import Records
from atoll_supervisor.ports import ServiceEngine
from atoll_supervisor.shell.database import NotKept

MOST_OTHERS = 16
"""Starts of one service that came to nothing and are remembered: the oldest have no job."""

Fails = Callable[[str, Ended, str], None]
"""What is told of a service by its id when this start of it, its uuid, cannot be."""


class Starts:
    """Begins services by their engines."""

    def __init__(self, around: Around, records: Records, fails: Fails) -> None:
        self._engines: Mapping[EngineName, ServiceEngine] = {}
        self._around = around
        self._records = records
        self._fails = fails
        self._replacing: set[str] = set()

    def begin(self, engines: Mapping[EngineName, ServiceEngine]) -> None:
        """Work with these from now on."""
        self._engines = engines

    def is_replacing(self, service: str) -> bool:
        """Whether one that is at work is being started again: its end is no news."""
        return service in self._replacing

    async def place(self, record: Record) -> Record:
        """Have its engine begin it; what somebody ended meanwhile is ended where it is now."""
        now = self._records.get(record.id)
        if now is None or now.uuid != record.uuid or now.is_final:
            return now or record
        placed = await self._engines[record.engine].submit(record)
        now = self._records.get(record.id)
        if now is None or now.uuid != record.uuid or now.is_final:
            await self.end(placed)
        if now is None or now.uuid != record.uuid:
            return now or placed
        host, port = now.host or placed.host, now.port or placed.port
        known = replace(now, job=placed.job, host=host, port=port)
        self._records.know(known)
        await self._records.keep(known)
        return known

    async def end(self, record: Record) -> None:
        """Nobody wants it any more."""
        with suppress(AtollError):  # the engine tries again at its next look
            await self._engines[record.engine].cancel(record)

    async def after_end(self, records: tuple[Record, ...]) -> None:
        """Start these again, which are over; the others of a group that is refused fail with it."""
        before = self._records.as_now(records)
        anew = [begun_again(record, new_uuid()) for record in before]
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
                    self._fails(other.id, Ended("failed", str(error)), other.uuid)
                raise

    async def in_place_of(self, records: Sequence[Record]) -> None:
        """Start these again, which are at work; one that cannot be goes on, if its engine can."""
        ends = await asyncio.gather(*map(self._in_place_of, records), return_exceptions=True)
        for error in filter(None, ends):
            raise error

    async def _in_place_of(self, record: Record) -> None:
        if record.id in self._replacing:
            raise StillEnds(f"{record.name} is being started again already: ask again in a moment")
        self._replacing.add(record.id)
        try:
            await self._replace(record)
        except AtollError as error:
            self._replacing.discard(record.id)
            if not self._engines[record.engine].goes_on(record):
                self._fails(record.id, _end_by(error), record.uuid)
            raise
        finally:
            self._replacing.discard(record.id)

    async def _replace(self, record: Record) -> None:
        anew = begun_again(record, new_uuid())
        others = (*record.others, anew.uuid)[-MOST_OTHERS:]
        marked = replace(record, others=others)  # a daemon that is killed now leaves no job alone
        self._records.know(marked)
        await self._records.keep(marked)
        placed = await self._engines[record.engine].replace(marked, anew)
        now = self._records.get(record.id)
        if now is None or now.uuid != record.uuid or now.is_final:
            await self.end(placed)
            return
        self._around.note(placed.last_end, record.name)
        self._records.know(placed)
        await self._records.keep(placed)


def _end_by(error: AtollError) -> Ended:
    """How a service is over that was ended for a start that was not made."""
    if isinstance(error, StillEnds):
        return Ended("cancelled", "stopped by a user")
    return Ended("failed", str(error))
