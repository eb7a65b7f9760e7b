"""A Runs port for tests that are about something else: it has none and takes none."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from atoll.errors import Busy, NotFound
from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.core.runs.records import (
    Batch,
    BatchOrder,
    IdempotencyKey,
    Order,
    Page,
    Run,
    Wanted,
)


class NoRuns:
    """Runs (atoll_supervisor.ports) without a single run."""

    async def start(self, order: Order, key: IdempotencyKey | None) -> Run:
        raise Busy("this fake takes no runs")

    async def start_batch(
        self, orders: Sequence[Order], more: BatchOrder, key: IdempotencyKey | None
    ) -> str:
        raise Busy("this fake takes no runs")

    async def ended(self, run_id: str, leaving: asyncio.Event) -> Run:
        return await self.run(run_id)

    async def run(self, run_id: str) -> Run:
        raise NotFound("Run not found")

    async def page(self, wanted: Wanted) -> Page:
        return Page((), None)

    async def batch(self, batch_id: str) -> tuple[Batch, list[Run]]:
        raise NotFound("Batch not found")

    async def cancel(self, run_id: str, leaving: asyncio.Event) -> Run:
        return await self.run(run_id)

    async def delete(self, run_id: str) -> None:
        await self.run(run_id)

    async def follow(
        self, run_id: str, after: int, leaving: asyncio.Event
    ) -> AsyncIterator[list[Told]]:
        yield []
