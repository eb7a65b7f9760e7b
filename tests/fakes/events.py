"""An Events port for tests that are about something else: what it was given, and no more."""

import asyncio
from collections.abc import AsyncIterator

from atoll_supervisor.core.happening import Happening


class MemoryEvents:
    """Events (atoll_supervisor.ports) in a list; following gives what is there and then waits."""

    def __init__(self, *happenings: Happening) -> None:
        self.happenings = list(happenings)
        self.degraded = ""

    async def since(self, after: int, unit: str | None, limit: int) -> list[Happening]:
        return [one for one in self._of(unit) if one.id > after][:limit]

    async def latest(self, unit: str | None, limit: int) -> list[Happening]:
        return self._of(unit)[-limit:] if limit else []

    async def follow(
        self, unit: str | None, leaving: asyncio.Event, after: int | None = None, tail: int = 0
    ) -> AsyncIterator[list[Happening]]:
        given = self.latest(unit, tail) if after is None else self.since(after, unit, 1000)
        yield await given
        await leaving.wait()

    def _of(self, unit: str | None) -> list[Happening]:
        return [one for one in self.happenings if unit in (None, one.unit)]


def event(id: int, unit: str = "ghidraagent", cause: str = "it is ready") -> Happening:
    """A transition that is as ordinary as can be."""
    return Happening(
        id=id,
        at=f"2026-11-21T04:00:{id % 60:02}.000Z",
        unit=unit,
        before="starting",
        after="running",
        cause=cause,
        generation=1,
        pid=4321,
    )
