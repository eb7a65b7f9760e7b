"""What the daemon's rooms need from each other, as small protocols."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.row import Row
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


class Fleet(Protocol):
    """The fleet as the management API and the console see it."""

    @property
    def uptime(self) -> float:
        """Seconds since the daemon started."""
        ...

    @property
    def degraded(self) -> str:
        """What cannot be kept although the fleet goes on, or ""."""
        ...

    def rows(self) -> Sequence[Row]:
        """Every agent, sorted by slug; a snapshot that costs no system call."""
        ...

    def row(self, name: str) -> Row:
        """One agent by any spelling of its name; raises NotFound."""
        ...

    async def start(self, name: str, *, wait: bool = True) -> Row:
        """Start it and answer when it serves, or has failed; raises NotFound."""
        ...

    async def stop(self, name: str, *, wait: bool = True) -> Row:
        """Stop it and answer when its processes are gone; raises NotFound."""
        ...

    async def restart(self, name: str, *, wait: bool = True) -> Row:
        """Stop and start it, holding its socket meanwhile; raises NotFound."""
        ...

    def log_file(self, name: str) -> Path:
        """The live log file of a unit (rotated ones stand beside it); raises NotFound."""
        ...


class Events(Protocol):
    """What has happened and what happens, as the management API and the console see it.

    `unit` is a slug, "" for the daemon itself, None for everything.
    """

    @property
    def degraded(self) -> str:
        """Why what happens cannot be kept, or ""."""
        ...

    async def since(self, after: int, unit: str | None, limit: int) -> list[Happening]:
        """The first `limit` events after an id, oldest first."""
        ...

    async def latest(self, unit: str | None, limit: int) -> list[Happening]:
        """The newest `limit` events, oldest first."""
        ...

    def follow(
        self, unit: str | None, leaving: asyncio.Event, after: int | None = None, tail: int = 0
    ) -> AsyncIterator[list[Happening]]:
        """Events after an id, or the last `tail`, then all that come: none twice, none left out.

        Nothing for a while comes as an empty list. Ends after the newest event
        once `leaving` is set.
        """
        ...


class Upkeep(Protocol):
    """New manifests and new code, for the daemon and its agents."""

    async def reload(self) -> None:
        """Read the agents directory again, and return when what changed is on its way."""
        ...

    async def reload_runtime(self) -> tuple[str, ...]:
        """Have agents forked from the runtime on the disk; the slugs of those to be replaced."""
        ...

    async def upgrade(self) -> None:
        """Begin to become the program on the disk; raises AtollError when that does not start."""
        ...


class Runs(Protocol):
    """Recorded work. Whatever is given back is kept; NotFound is raised for what is not there.

    Each method raises an AtollError with status 503 when the disk refuses.
    """

    async def start(self, order: Order, key: IdempotencyKey | None) -> Run:
        """Accept a run, or find the one that the key names."""
        ...

    async def start_batch(
        self, orders: Sequence[Order], more: BatchOrder, key: IdempotencyKey | None
    ) -> str:
        """Accept many runs at once; the batch's id."""
        ...

    async def ended(self, run_id: str, leaving: asyncio.Event) -> Run:
        """The run when it has ended, or as it is when the daemon leaves."""
        ...

    async def run(self, run_id: str) -> Run:
        """The run as it is now."""
        ...

    async def page(self, wanted: Wanted) -> Page:
        """A list of runs, newest first."""
        ...

    async def batch(self, batch_id: str) -> tuple[Batch, list[Run]]:
        """A batch and its runs, in the order in which they were given."""
        ...

    async def cancel(self, run_id: str, leaving: asyncio.Event) -> Run:
        """The run when it has ended, by this or before."""
        ...

    async def delete(self, run_id: str) -> None:
        """Forget a run that has ended."""
        ...

    def follow(self, run_id: str, after: int, leaving: asyncio.Event) -> AsyncIterator[list[Told]]:
        """The run's events after an id, to its end; nothing for a while comes as an empty list."""
        ...
