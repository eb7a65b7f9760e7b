"""Looks at the agents directory: at the start, when a file changes, when somebody asks."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path

from atoll.errors import AtollError
from atoll_supervisor.core.reconcile import Broken
from atoll_supervisor.loop.fleet_loop import FleetLoop
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.plan import Planner
from atoll_supervisor.shell.watch import changes

GAP = 0.2
"""Seconds that a manifest must be away to be gone: many editors save by moving the old file
out of the way first."""


class LookFailed(AtollError):
    """The agents directory could not be read; everything stays as it is."""

    code = "look_failed"


class Looks:
    """One look at a time; however many ask meanwhile, one more follows."""

    def __init__(self, planner: Planner, fleet: FleetLoop, say: Callable[[str], None]) -> None:
        self._planner = planner
        self._fleet = fleet
        self._say = say
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._manifests: frozenset[str] = frozenset()

    async def look(self) -> None:
        """Read everything, and have the fleet take in what has changed."""
        found = await self._planner.look(self._say)
        if self._manifests - _manifests(found):
            await asyncio.sleep(GAP)
            found = await self._planner.look(self._say)
        self._manifests = _manifests(found)
        self._fleet.default_llm = self._planner.default
        self._fleet.discovered(found)

    def ask(self) -> None:
        """Have a look soon."""
        self._asked.set()

    async def asked(self) -> None:
        """Have a look, and return when it is over; raises LookFailed."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self.ask()
        await done

    async def run(self) -> None:
        """Look whenever it was asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            waiting, self._waiting = self._waiting, []
            fault = await self._try()
            for done in waiting:
                if not done.done() and fault:
                    done.set_exception(LookFailed(fault))
                elif not done.done():
                    done.set_result(None)

    async def watch(self, folder: Path) -> None:
        """Ask for a look whenever something in the folder has changed, until cancelled."""
        async with aclosing(changes(folder, self._say)) as ticks:
            async for _ in ticks:
                self.ask()

    async def _try(self) -> str:
        """A look that fails must not end the fleet; says why it did."""
        try:
            await self.look()
        except Exception as error:  # noqa: BLE001  whatever it is, what runs goes on
            fault = f"{error}; everything stays as it is"
            self._say(fault)
            return fault
        return ""


def _manifests(found: Iterable[Blueprint | Broken]) -> frozenset[str]:
    """The paths of all that were found, good or bad."""
    specs = (item.spec if isinstance(item, Blueprint) else item for item in found)
    return frozenset(spec.config_path for spec in specs)
