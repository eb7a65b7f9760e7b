"""What is done to a fleet: drawn from a seed, one after the other."""

import asyncio
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from benchmarks.supervision import client
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.contenders.base import Unhealthy, until_dead
from benchmarks.supervision.processes import identity, kill
from benchmarks.supervision.units import Unit, write_manifest

Fault = Callable[[], Awaitable[None]]
DEATHS = 5
"""Sudden ends of one agent after which it is spared: more would spend its restart budget."""
FORGIVEN = 120.0
DAEMON_AWAY = (0.0, 1.5)
BROKEN_FOR = (1.0, 3.0)
BROKEN = "[agent]\nname = "


class Faults:
    """Each fault by its weight; the same seed draws the same faults for the same agents."""

    def __init__(self, fleet: Atoll, draw: random.Random, pause: float) -> None:
        self.count: Counter[str] = Counter()
        self._fleet = fleet
        self._draw = draw
        self._pause = pause
        self._deaths: dict[str, list[float]] = defaultdict(list)
        self._background: set[asyncio.Task[None]] = set()
        self._daemon_away = False
        self._edited = 0
        self._weighted: dict[str, tuple[int, Fault]] = {
            "kill agent": (6, self._kill_agent),
            "stop agent": (2, self._stop_agent),
            "kill daemon": (2, self._kill_daemon),
            "kill template": (1, self._kill_template),
            "good edit": (3, self._good_edit),
            "broken edit": (1, self._broken_edit),
            "comment": (2, self._comment),
            "restart": (3, self._restart),
        }

    async def go_on(self, seconds: float, *, kill_keeper: bool) -> None:
        """Do faults for so long; ends when the consequences that were ordered are done, too."""
        until = time.monotonic() + seconds
        keeper_at = time.monotonic() + seconds / 2
        names = list(self._weighted)
        weights = [weight for weight, _ in self._weighted.values()]
        while (now := time.monotonic()) < until:
            if kill_keeper and now > keeper_at:
                kill_keeper = False
                await self._kill("keeper")
            name = self._draw.choices(names, weights)[0]
            await self._weighted[name][1]()
            self.count[name] += 1
            await asyncio.sleep(self._draw.expovariate(1 / self._pause))
        await asyncio.gather(*self._background)

    def told(self) -> str:
        """What was done how often."""
        return ", ".join(f"{name} {count}" for name, count in sorted(self.count.items()))

    async def _kill_agent(self) -> None:
        await self._end(signal.SIGKILL)

    async def _stop_agent(self) -> None:
        await self._end(signal.SIGSTOP)

    async def _end(self, number: signal.Signals) -> None:
        """Kill or stop the serving process of an agent that has not died too often yet."""
        unit = self._draw.choice(self._fleet.units)
        now = time.monotonic()
        recent = [at for at in self._deaths[unit.name] if now - at < FORGIVEN]
        if len(recent) >= DEATHS:
            return
        who = identity((await client.get(unit.port, limit=2.0)).pid)
        if who is not None and kill(who, number):
            self._deaths[unit.name] = [*recent, now]

    async def _kill_daemon(self) -> None:
        away = self._draw.uniform(*DAEMON_AWAY)
        if self._daemon_away:
            return
        self._daemon_away = True
        await self._fleet.kill_itself()
        self._later(self._bring_back(away))

    async def _bring_back(self, away: float) -> None:
        await asyncio.sleep(away)
        await self._fleet.start()
        if not await self._fleet.until_answering():
            raise Unhealthy("the daemon did not come back")
        self._daemon_away = False

    async def _kill_template(self) -> None:
        await self._kill("template")

    async def _kill(self, role: str) -> None:
        who = identity(self._fleet.own().get(role, 0))
        if who is not None:
            await until_dead(who)

    async def _good_edit(self) -> None:
        self._write(self._draw.choice(self._fleet.units))

    async def _broken_edit(self) -> None:
        unit = self._draw.choice(self._fleet.units)
        (unit.folder / "agent.toml").write_text(BROKEN)
        self._later(self._mend(unit, self._draw.uniform(*BROKEN_FOR)))

    async def _mend(self, unit: Unit, after: float) -> None:
        await asyncio.sleep(after)
        self._write(unit)

    async def _comment(self) -> None:
        unit = self._draw.choice(self._fleet.units)
        with (unit.folder / "agent.toml").open("a") as manifest:
            manifest.write(f"# {self._draw.random()}\n")

    async def _restart(self) -> None:
        unit = self._draw.choice(self._fleet.units)
        self._later(self._restarted(unit))

    async def _restarted(self, unit: Unit) -> None:
        """A restart that the daemon's absence thwarts is no fault of anybody."""
        with suppress(Unhealthy):
            await self._fleet.restart(unit.name)

    def _write(self, unit: Unit) -> None:
        self._edited += 1
        tools = (unit.folder / "tools.py").exists()
        words = f"Edited {self._edited} times."
        write_manifest(unit.folder, unit.name, unit.port, tools=tools, description=words)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
