"""One run: its options, who takes part, what was measured."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.supervision import client, units
from benchmarks.supervision.contenders.atoll import Atoll, AtollExec
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.contenders.circus import Circus, CircusSock
from benchmarks.supervision.contenders.floor import FloorPlain, FloorSock
from benchmarks.supervision.contenders.pm2 import Pm2
from benchmarks.supervision.contenders.supervisord import Supervisord
from benchmarks.supervision.install import Tools
from benchmarks.supervision.units import Child, Unit

PEERS = ("supervisord", "circus", "circus-sock", "pm2")
FLOORS = ("floor-plain", "floor-sock")
ATOLL = ("atoll", "atoll-exec")
SPARE_PORTS = 3
"""What a supervisor needs beside its units' ports, when all are to be neighbours."""
Results = dict[str, dict[str, list[float]]]
"""Metric, then who, then the value of each round."""


class Entry(NamedTuple):
    """Who takes part, with which child."""

    name: str
    child: Child

    @property
    def label(self) -> str:
        """How the tables call it."""
        return self.name if self.child == "agent" else f"{self.name} (bare)"


class Options(NamedTuple):
    """How much is measured; `quick` is a smoke run."""

    rounds: int = 5
    restarts: int = 20
    fleet: int = 50
    adopted: int = 100
    adoptions: int = 20
    supervised: int = 500
    listed: int = 200
    sleepers: int = 10_000
    crash_window: float = 60.0
    cpu_window: float = 20.0
    hang_limit: float = 20.0


QUICK = Options(
    rounds=1,
    restarts=2,
    fleet=4,
    adopted=3,
    adoptions=1,
    supervised=5,
    listed=5,
    sleepers=20,
    crash_window=5.0,
    cpu_window=2.0,
    hang_limit=8.0,
)


class Bench:
    """What every measurement is given."""

    def __init__(
        self, place: Path, options: Options, entries: Sequence[Entry], tools: Tools | None
    ) -> None:
        self.options = options
        self.entries = entries
        self.results: Results = defaultdict(lambda: defaultdict(list))
        self.notes: list[str] = []
        self._place = place
        self._tools = tools
        self._ports = units.ports()
        self._numbers = count()

    def note(self, text: str) -> None:
        """Something that a reader of the table must know."""
        print(f"  ! {text}", flush=True)
        self.notes.append(text)

    def record(self, metric: str, label: str, value: float) -> None:
        """Keep a value and show it."""
        self.results[metric][label].append(value)
        print(f"  {metric:<28}{label:<22}{value:12.3f}", flush=True)

    def some(self, *names: str, children: Iterable[Child] = ("agent", "bare")) -> list[Entry]:
        """Those who take part, of these names."""
        return [e for e in self.entries if e.name in names and e.child in children]

    def file(self, name: str) -> Path:
        """A path of its own in the run's folder."""
        return self._place / f"{name}.{next(self._numbers)}"

    def build(
        self,
        entry: Entry,
        names: Sequence[str],
        *,
        tools: str = "",
        deployment: str = "",
        base_port: int = 0,
    ) -> Contender:
        """A supervisor over units of these names; `tools` is the tools.py of each."""
        place = self._place / f"{next(self._numbers)}"
        folder = place / "agents"
        more = AtollExec.deployment if entry.name == "atoll-exec" else ""
        python = str(self._tools.python) if self._tools else ""
        room = len(names) + SPARE_PORTS
        ports = iter(range(base_port, base_port + room)) if base_port else self._ports
        made = [
            units.make(folder, name, port, entry.child, python,
                       tools=tools, deployment=deployment + more)
            for name, port in zip(names, ports, strict=False)
        ]  # fmt: skip
        return self._contender(entry, place, made, ports)

    def _contender(
        self, entry: Entry, place: Path, made: list[Unit], ports: Iterator[int]
    ) -> Contender:
        match entry.name:
            case "atoll":
                return Atoll(place, made, next(ports), next(ports))
            case "atoll-exec":
                return AtollExec(place, made, next(ports), next(ports))
            case "floor-plain":
                return FloorPlain(place, made)
            case "floor-sock":
                return FloorSock(place, made)
            case _:
                return self._peer(entry, place, made)

    def _peer(self, entry: Entry, place: Path, made: list[Unit]) -> Contender:
        assert self._tools is not None
        match entry.name:
            case "supervisord":
                return Supervisord(place, made, self._tools)
            case "circus":
                return Circus(place, made, self._tools)
            case "circus-sock":
                return CircusSock(place, made, self._tools)
            case "pm2":
                return Pm2(place, made, self._tools)
            case _:
                raise ValueError(entry.name)


@asynccontextmanager
async def running(contender: Contender, limit: float = 180.0) -> AsyncGenerator[Contender]:
    """The supervisor with all units healthy; ended at the end, whatever happens."""
    try:
        await contender.start()
        if not await client.until_all_healthy(units.ports_of(contender.units), limit):
            raise Unhealthy(f"{contender.label} did not get its units up within {limit:.0f} s")
        yield contender
    finally:
        await asyncio.shield(ended(contender))


async def ended(contender: Contender) -> None:
    """End the supervisor, and whatever it leaves behind."""
    try:
        await contender.shut_down()
    finally:
        while contender.sweep():
            await asyncio.sleep(0.02)
