"""The runs of one daemon in `atoll.db`: asked from the loop, done on the database's thread."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from atoll_supervisor.core.runs.events import Outcome, Told
from atoll_supervisor.core.runs.records import Batch, IdempotencyKey, Known, Page, Run, Wanted
from atoll_supervisor.shell import run_rows
from atoll_supervisor.shell.database import REFUSALS, NotKept, reason_of
from atoll_supervisor.shell.database_thread import DatabaseThread

T = TypeVar("T")


class RunStore:
    """Every method raises NotKept when the disk refuses."""

    def __init__(self, disk: DatabaseThread) -> None:
        self._disk = disk

    async def accept(
        self,
        outcomes: Sequence[Outcome],
        key: IdempotencyKey | None = None,
        batch: Batch | None = None,
    ) -> Known | None:
        """Keep new runs; what was there already when the key is known."""
        work = partial(run_rows.accept, outcomes=outcomes, key=key, batch=batch)
        return await self._done(work)

    async def save(self, run: Run, told: Sequence[Told], all_told: Sequence[Told]) -> None:
        """Keep what came of an event."""
        await self._done(partial(run_rows.save, run=run, told=told, all_told=all_told))

    async def load(self, run_id: str) -> Run | None:
        """One run."""
        return await self._done(partial(run_rows.load, run_id=run_id))

    async def unfinished(self, now: float) -> list[Run]:
        """Every run that has not ended, oldest first; one that cannot be read has ended now."""
        return await self._done(partial(run_rows.unfinished, now=now))

    async def events(self, run_id: str, after: int) -> list[Told]:
        """What was told of a run after an id."""
        return await self._done(partial(run_rows.events, run_id=run_id, after=after))

    async def page(self, wanted: Wanted) -> Page:
        """A list of runs."""
        return await self._done(partial(run_rows.page, wanted=wanted))

    async def batch(self, batch_id: str) -> tuple[Batch, list[Run]] | None:
        """A batch with its runs."""
        return await self._done(partial(run_rows.load_batch, batch_id=batch_id))

    async def delete(self, run_id: str) -> bool:
        """Forget a run that has ended; whether there was one."""
        return await self._done(partial(run_rows.delete, run_id=run_id))

    async def prune(self, oldest: float, most: int) -> bool:
        """Forget some of what is too old or too much; whether there may be more."""
        return await self._done(partial(run_rows.prune, oldest=oldest, most=most))

    async def untold(self) -> list[str]:
        """The ids of the runs whose end their webhook has not heard of."""
        return await self._done(run_rows.untold)

    async def heard(self, run_id: str) -> None:
        """The webhook of a run has been told, or is given up."""
        await self._done(partial(run_rows.heard, run_id=run_id))

    async def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._disk.run(work)
        except (*REFUSALS, msgspec.MsgspecError) as error:
            raise NotKept(f"{self._disk.path.name} cannot be used: {reason_of(error)}") from None
