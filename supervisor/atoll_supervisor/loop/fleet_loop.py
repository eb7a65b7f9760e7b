"""Takes events one by one, lets the core decide, has the hands perform; owns all state.

Everything happens on one asyncio loop and never waits, so there is nothing to
lock: slow work (a process that starts, a probe that runs) comes back as an
event with the generation it belongs to.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from atoll.config.names import name_fault, slug_of, without_tag
from atoll.config.suggest import did_you_mean
from atoll.errors import NotFound
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.effects import Kill, Record, Spawn
from atoll_supervisor.core.fleet import Fleet, Orders, shut_down, step, unwanted
from atoll_supervisor.core.phases import Unit, is_live
from atoll_supervisor.core.reconcile import Broken, reconcile
from atoll_supervisor.core.row import Row
from atoll_supervisor.core.view import Clock, row_of
from atoll_supervisor.loop.hands import Hands
from atoll_supervisor.loop.port_table import PortTable
from atoll_supervisor.loop.waiters import Arrived, Waiters, is_at_rest, serves_or_failed
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.journal import FleetRecord, Journal, UnitRecord

SAVE_AGAIN = 5.0
"""Seconds between two tries to write a state that could not be written."""
TIDY_EVERY = 5.0
"""Seconds between two looks for zombies that units left to us."""


class Machine(Struct, frozen=True):
    """What the loop gets from the machine besides its hands: clocks, luck, a place to tell."""

    now: Callable[[], float]
    epoch: Callable[[], float]
    luck: Callable[[], float]
    tell: Callable[[str, Record], None]
    warn: Callable[[str], None]


class FleetLoop:
    """The fleet of one daemon: the `ports.Fleet` of the API, and the life of every unit."""

    def __init__(
        self,
        machine: Machine,
        host: str,
        api_port: int,
        base_port: int,
        logs: Path,
        journal: Journal,
    ) -> None:
        record = journal.load()
        known = {slug: unit.port for slug, unit in record.record.units.items() if unit.port}
        stopped = {slug for slug, unit in record.record.units.items() if unit.desired == "stopped"}
        self.warnings = record.warnings
        self.started_at = machine.epoch()
        self._machine = machine
        self._host = host
        self._journal = journal
        self._saved = record.record
        self._save_again_at = 0.0
        self._save_fault = ""
        self._fleet = Fleet(unwanted=frozenset(stopped))
        self._inbox: deque[tuple[str, ev.Event]] = deque()
        self._at_work = False
        self._waiters = Waiters()
        ports = PortTable(base_port, known, api_port)
        self._hands = Hands(host, ports, logs, self.post, machine.tell)

    def post(self, slug: str, event: ev.Event) -> None:
        """Let an event happen; performs what follows before it returns, and never raises."""
        self._inbox.append((slug, event))
        if self._at_work:
            return
        self._at_work = True
        try:
            while self._inbox:
                self._happen(*self._inbox.popleft())
        finally:
            self._at_work = False
        self._save()

    def discovered(self, found: Iterable[Blueprint | Broken]) -> None:
        """Take in a look at the agents directory: whatever changed becomes events."""
        found = tuple(found)
        blueprints = {item.spec.slug: item for item in found if isinstance(item, Blueprint)}
        specs = [item.spec if isinstance(item, Blueprint) else item for item in found]
        self._hands.blueprints.update(blueprints)
        self._hands.ports.wish(
            {slug: b.spec.fixed_port for slug, b in blueprints.items() if b.needs_port}
        )
        for slug, event in reconcile(specs, self._fleet.units):
            self.post(slug, event)

    async def run(self) -> None:
        """Keep the background work going until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hands.sampler.run())
            group.create_task(self._tidy())

    async def settled(self) -> None:
        """Return when no unit is on its first way up any more."""
        for slug in list(self._fleet.units):
            await self._until(slug, serves_or_failed(-1))

    async def shut_down(self) -> None:
        """Stop every unit, dependants first; returns when no process of the fleet is left."""
        self._fleet, orders = shut_down(self._fleet, self._machine.now(), self._machine.luck())
        self._perform(orders)
        for slug in list(self._fleet.units):
            await self._until(slug, lambda unit: unit is None or not is_live(unit))
        self._hands.close()

    def kill_all(self) -> None:
        """End every process at once; for an operator who asks a second time."""
        for slug, unit in self._fleet.units.items():
            if is_live(unit):
                self._hands.perform(slug, Kill(unit.generation))

    # ports.Fleet

    def rows(self) -> tuple[Row, ...]:
        """Every agent, sorted by slug; costs no system call but a look at the clock."""
        clock = self._clock()
        return tuple(
            self._row(unit, clock)
            for _, unit in sorted(self._fleet.units.items())
            if unit.spec is None or unit.spec.kind == "agent"
        )

    def row(self, name: str) -> Row:
        """One unit by any spelling of its name; raises NotFound."""
        return self._row(self._unit(name), self._clock())

    async def start(self, name: str, *, wait: bool = True) -> Row:
        """Start it and answer when it serves, or has failed; raises NotFound."""
        return await self._ask(name, ev.StartAsked(), serves_or_failed(-1), wait=wait)

    async def stop(self, name: str, *, wait: bool = True) -> Row:
        """Stop it and answer when its processes are gone; raises NotFound."""
        return await self._ask(name, ev.StopAsked(), is_at_rest, wait=wait)

    async def restart(self, name: str, *, wait: bool = True) -> Row:
        """Stop and start it, holding its socket meanwhile; raises NotFound."""
        unit = self._unit(name)
        arrived = serves_or_failed(unit.generation)
        return await self._ask(name, ev.RestartAsked(), arrived, wait=wait)

    def log_file(self, name: str) -> Path:
        """The live log file of a unit; raises NotFound."""
        return self._hands.log_of(self._unit(name).slug)

    # inside

    def _happen(self, slug: str, event: ev.Event) -> None:
        self._fleet, orders = step(
            self._fleet, slug, event, self._machine.now(), self._machine.luck()
        )
        self._perform(orders)
        for concerned in {slug, *(order.slug for order in orders)}:
            self._waiters.look(concerned, self._fleet.units.get(concerned))

    def _perform(self, orders: Orders) -> None:
        """Perform each order; one that fails must not take those after it along."""
        for slug, effect in ((order.slug, order.effect) for order in orders):
            try:
                self._hands.perform(slug, effect)
            except Exception as error:  # noqa: BLE001  whatever it is, the fleet goes on
                self._machine.warn(f"{slug}: cannot perform {effect}: {error}")
                if isinstance(effect, Spawn):
                    self.post(slug, ev.SpawnFailed(effect.generation, str(error)))

    async def _ask(self, name: str, event: ev.Event, arrived: Arrived, *, wait: bool) -> Row:
        slug = self._unit(name).slug
        self.post(slug, event)
        if wait:
            await self._until(slug, arrived)
        return self.row(slug)

    async def _until(self, slug: str, arrived: Arrived) -> None:
        if not arrived(self._fleet.units.get(slug)):
            await self._waiters.wait(slug, arrived)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY)
            self._hands.tidy()
            self._save()

    def _unit(self, name: str) -> Unit:
        units = self._fleet.units
        slug = "" if name_fault(without_tag(name)) else slug_of(without_tag(name))
        unit = units.get(name) or units.get(slug)
        if unit is None:
            hint = did_you_mean(slug_of(name), units) or "`atoll ps` lists them"
            raise NotFound(f"there is no agent {name!r}; {hint}")
        return unit

    def _row(self, unit: Unit, clock: Clock) -> Row:
        port = self._hands.ports.port_of(unit.slug)
        return row_of(unit, self._hands.seen(unit.slug), clock, self._host, port)

    def _clock(self) -> Clock:
        return Clock(self._machine.now(), self._machine.epoch())

    def _save(self) -> None:
        """Write the state file when it would differ; a failure is told and not fatal."""
        ports, stopped = self._hands.ports.known, unwanted(self._fleet)
        record = FleetRecord(
            units={
                slug: UnitRecord(
                    port=ports.get(slug, 0), desired="stopped" if slug in stopped else "running"
                )
                for slug in sorted(ports.keys() | stopped)
            }
        )
        if record != self._saved and self._machine.now() >= self._save_again_at:
            self._write(record)

    def _write(self, record: FleetRecord) -> None:
        """Try at most every few seconds on a disk that refuses; tell it once, and its end."""
        fault = "" if self._journal.save(record) else self._journal.degraded
        if not fault:
            self._saved = record
        else:
            self._save_again_at = self._machine.now() + SAVE_AGAIN
        if fault != self._save_fault:
            self._machine.warn(fault or "the state is written again")
        self._save_fault = fault
