"""What is known of each service, kept on the disk: at once where somebody is told, else soon."""

from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import asynccontextmanager

from atoll.errors import AtollError
from atoll_supervisor.core.services.record import Record
from atoll_supervisor.loop.services.finding import find, put_back
from atoll_supervisor.shell.database import REFUSALS, NotKept
from atoll_supervisor.shell.services.store import ServiceStore


class Records:
    """The records of all services by their ids, oldest first."""

    def __init__(self, store: ServiceStore) -> None:
        self._store = store
        self._records: dict[str, Record] = {}
        self._dirty: set[str] = set()

    def __iter__(self) -> Iterator[Record]:
        """All, in a list of their own: what is done to one may change it."""
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)

    def get(self, service: str) -> Record | None:
        """The record of this id."""
        return self._records.get(service)

    def of(self, name: str) -> tuple[Record, ...]:
        """The service or the replicas of a group; raises NotFound."""
        return find(self._records, name)

    def as_now(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """These as they have become meanwhile, but for those that are forgotten."""
        return tuple(self._records[one.id] for one in records if one.id in self._records)

    def is_as_was(self, record: Record) -> bool:
        """Whether nobody has forgotten it meanwhile, or started it again."""
        now = self._records.get(record.id)
        return now is not None and now.uuid == record.uuid

    def know(self, *records: Record) -> None:
        """Take these as what is known; nothing is written."""
        self._records |= {record.id: record for record in records}

    def change(self, record: Record) -> None:
        """Take this as what is known, and write it at the next `flush`."""
        self.know(record)
        self._dirty.add(record.id)

    async def keep(self, *records: Record) -> None:
        """Write these now; raises NotKept. What is known stays as it is."""
        await self._written(self._store.save(*records))

    @asynccontextmanager
    async def forgetting(self, record: Record) -> AsyncGenerator[Record]:
        """From here on nobody can start it again; AtollError inside, and NotKept, put it back."""
        order = tuple(self._records)
        now = self._records.pop(record.id)
        try:
            yield now
            await self._written(self._store.remove(record.id))
        except AtollError:
            self._records = put_back(self._records, now, order)
            raise
        self._dirty.discard(record.id)

    async def flush(self) -> None:
        """Write what has changed; what the disk refuses is tried again by the next one."""
        dirty, self._dirty = self._dirty, set()
        try:
            if records := [self._records[one] for one in dirty if one in self._records]:
                await self._store.save(*records)
        except REFUSALS:
            self._dirty |= dirty  # `degraded` tells

    async def _written(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except REFUSALS as error:
            raise NotKept(f"the disk refuses to remember services: {error}") from None
