"""What the daemon's rooms need from each other, as small protocols."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.row import Row


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
