"""Takes events, lets the core decide, has the hands perform; owns all state.

Everything happens on one asyncio loop and never waits, so there is nothing to
lock: slow work (a process that starts, a probe that runs) comes back as an
event with the generation it belongs to.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from atoll.config.names import name_fault, slug_of, without_tag
from atoll.config.suggest import did_you_mean
from atoll.errors import NotFound
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.adopt import Memory, adopt
from atoll_supervisor.core.effects import Record, Spawn
from atoll_supervisor.core.fleet import Fleet, Orders, hold_again, shut_down, steps, unwanted
from atoll_supervisor.core.phases import (
    Replacing,
    Running,
    Starting,
    Unit,
    is_live,
    policy_of,
    serving,
)
from atoll_supervisor.core.reconcile import Broken, reconcile
from atoll_supervisor.core.row import Row
from atoll_supervisor.core.view import Clock
from atoll_supervisor.keeper.protocol import State
from atoll_supervisor.loop.adoption import Remembering, memories_of, survivors_of
from atoll_supervisor.loop.hands import Ears, Hands, News
from atoll_supervisor.loop.port_table import PortTable
from atoll_supervisor.loop.rows import Rows
from atoll_supervisor.loop.saving import Saving
from atoll_supervisor.loop.waiters import Arrived, Waiters, is_at_rest, serves_or_failed
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.journal import FleetRecord, Journal, UnitRecord
from atoll_supervisor.shell.keeper_link import KeeperLink

END_SLACK = 5.0
"""Seconds beyond its deadline in which a unit that is being stopped has to be gone."""


class Machine(Struct, frozen=True):
    """What the loop gets from the machine besides its hands: clocks, luck, a place to tell.

    A `note` has its unit, or "" for the daemon, after its text.
    """

    now: Callable[[], float]
    epoch: Callable[[], float]
    luck: Callable[[], float]
    tell: Callable[[str, Record], object]
    note: Callable[[str, str], object]


class FleetLoop:
    """The fleet of one daemon: the `ports.Fleet` of the API, and the life of every unit.

    `services` are the units that no folder asks for, and `changed` is called with
    the slugs of all that may have changed.
    """

    def __init__(
        self,
        machine: Machine,
        host: str,
        api_port: int,
        base_port: int,
        logs: Path,
        journal: Journal,
    ) -> None:
        recovered = journal.load()
        units = recovered.record.units
        known = {slug: unit.port for slug, unit in units.items() if unit.port}
        stopped = {slug for slug, unit in units.items() if unit.desired == "stopped"}
        self.warnings = recovered.warnings
        self._began = machine.now()
        self.default_llm = recovered.record.default_llm
        self.services: dict[str, Blueprint] = {}
        self.changed: Callable[[Collection[str]], object] = len
        self._machine = machine
        self._fleet = Fleet(unwanted=frozenset(stopped))
        self._inbox: deque[News] = deque()
        self._at_work = False
        self._taken_over = False
        self._waiters = Waiters()
        ports = PortTable(base_port, known, api_port, self._ports_moved)
        ears = Ears(self.post, machine.tell, machine.note)
        self.hands = Hands(host, ports, logs, ears)
        self._remembering = Remembering(self.hands.send)
        self._rows = Rows(host, self.hands)
        saved = None if recovered.warnings else recovered.record
        self._saving = Saving(journal, saved, self._record, machine.note)

    def post(self, news: Iterable[News]) -> None:
        """Let events happen; performs what follows before it returns, and never raises.

        What comes up while others are dealt with is dealt with after them.
        """
        self._inbox.extend(news)
        if self._at_work:
            return
        self._at_work = True
        try:
            while self._inbox:
                batch = tuple(self._inbox)
                self._inbox.clear()
                self._happen(batch)
        finally:
            self._at_work = False
        self.hands.acknowledge()
        self._remembering.forget(self._fleet.units)

    def adopt(self, link: KeeperLink, states: Sequence[State]) -> None:
        """Take over, from the keeper behind `link`, what an earlier daemon left with it."""
        self._taken_over = True
        misplaced = self.hands.adopt(link, states)
        memories, survivors = memories_of(states), survivors_of(states)
        for slug in sorted(memories.keys() | survivors.keys()):
            known, left = memories.get(slug, Memory()), survivors.get(slug, ())
            now, luck = self._machine.now(), self._machine.luck()
            self._fleet, orders = adopt(self._fleet, slug, known, left, now, luck)
            self._perform(orders)
        self._remembering.again(self._fleet.units)
        self.hands.told(states)
        cause = "the daemon has another address than before"
        self.post((slug, ev.RestartAsked(cause)) for slug in misplaced if self._is_up(slug))

    def discovered(self, found: Iterable[Blueprint | Broken]) -> None:
        """Take in a look at the agents directory: whatever changed becomes events."""
        found = (*found, *self.services.values())
        specs = [item.spec if isinstance(item, Blueprint) else item for item in found]
        blueprints = {item.spec.slug: item for item in found if isinstance(item, Blueprint)}
        use = self.hands.learn(blueprints)
        self.post((*reconcile(specs, self._fleet.units), *use))
        if self._taken_over:
            self._taken_over = False
            self._perform(hold_again(self._fleet))
        self.resume()
        self._saving.mark()

    def attached(self) -> None:
        """Have a new keeper hold what the lost one held."""
        self._perform(hold_again(self._fleet))

    def regained(self) -> None:
        """Have the keeper remember what it may have missed, and go on."""
        self._remembering.again(self._fleet.units)
        self.resume()

    def resume(self) -> None:
        """Launch what waited for a keeper, or for the first look; close what is nobody's."""
        self.hands.resume(self._fleet.units.keys())

    async def run(self, alive: Callable[[], None], interval: float | None) -> None:
        """Keep the background work going until cancelled.

        `alive` is called every `interval` seconds, if that is not None, from where
        events are taken and decided: it falls silent when that hangs.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.hands.sampler.run())
            group.create_task(self._saving.run())
            while interval is not None:
                self.post(())
                alive()
                await asyncio.sleep(interval)

    async def settled(self) -> None:
        """Return when no agent is on its first way up any more; a service may take minutes."""
        for slug in self._fleet.units.keys() - self.services.keys():
            await self._until(slug, serves_or_failed(-1))

    async def shut_down(self) -> bool:
        """Stop every unit, dependants first; returns when no process of the fleet is left.

        False when none has ended for longer than any of them may take.
        """
        self._fleet, orders = shut_down(self._fleet, self._machine.now(), self._machine.luck())
        self._perform(orders)
        self.hands.give_up("the daemon is going down")
        units = self._fleet.units
        slowest = max((policy_of(unit).stop_timeout for unit in units.values()), default=0.0)
        return await self._all_end(slowest + END_SLACK)

    def close(self) -> None:
        """Let go of everything; what the keeper has goes on."""
        self.hands.close()
        self._saving.finish()

    def kill_all(self) -> None:
        """End every process at once; for an operator who asks a second time."""
        for slug in self._fleet.units:
            self.hands.kill(slug)

    def renew(self, cause: str) -> tuple[str, ...]:
        """Have every forked agent replaced by one of the newest runtime; says which."""
        slugs = tuple(
            slug
            for slug in sorted(self._fleet.units)
            if self.hands.is_forked(slug) and self._is_up(slug)
        )
        self.post((slug, ev.RestartAsked(cause, anew=True)) for slug in slugs)
        return slugs

    # ports.Fleet

    @property
    def uptime(self) -> float:
        """Seconds since the daemon started, whatever became of the wall clock."""
        return self._machine.now() - self._began

    @property
    def degraded(self) -> str:
        """Why the state file is behind, or ""."""
        return self._saving.fault

    def rows(self) -> tuple[Row, ...]:
        """Every agent, sorted by slug; costs no system call but a look at the clock."""
        return self._rows.agents(self._fleet.units, self._clock())

    def row(self, name: str) -> Row:
        """One unit by any spelling of its name; raises NotFound."""
        return self._rows.row(self._unit(name), self._clock())

    async def start(self, name: str, *, wait: bool = True) -> Row:
        """Start it and answer when it serves, or has failed; raises NotFound."""
        return await self._ask(name, ev.StartAsked(), serves_or_failed(-1), wait=wait)

    async def stop(self, name: str, *, wait: bool = True) -> Row:
        """Stop it and answer when its processes are gone; raises NotFound."""
        return await self._ask(name, ev.StopAsked(), is_at_rest, wait=wait)

    async def restart(self, name: str, *, wait: bool = True) -> Row:
        """Replace its process and answer when the new one serves; raises NotFound."""
        unit = self._unit(name)
        serves = serving(unit)
        arrived = serves_or_failed(serves.generation if serves else -1)
        return await self._ask(name, ev.RestartAsked(), arrived, wait=wait)

    def unit(self, slug: str) -> Unit | None:
        """A unit as it is now, for whoever is told that it has `changed`."""
        return self._fleet.units.get(slug)

    def log_file(self, name: str) -> Path:
        """The live log file of a unit; raises NotFound."""
        return self.hands.log_of(self._unit(name).slug)

    # inside

    def _happen(self, batch: Sequence[News]) -> None:
        machine = self._machine
        self._fleet, orders = steps(self._fleet, batch, machine.now(), machine.luck)
        concerned = {slug for slug, _ in batch} | {order.slug for order in orders}
        self._remembering.tell(concerned, self._fleet.units)  # before anything that follows
        self._perform(orders)
        self._waiters.look(concerned, self._fleet.units)
        self.changed(concerned)
        if any(isinstance(event, ev.Wish | ev.Manifest) for _, event in batch):
            self._saving.mark()

    def _ports_moved(self) -> None:
        self._saving.mark()

    def _perform(self, orders: Orders) -> None:
        """Perform each order; one that fails must not take those after it along."""
        for slug, effect in ((order.slug, order.effect) for order in orders):
            try:
                self.hands.perform(slug, effect)
            except Exception as error:  # noqa: BLE001  whatever it is, the fleet goes on
                self._machine.note(f"cannot perform {effect}: {error}", slug)
                if isinstance(effect, Spawn):
                    self.post([(slug, ev.SpawnFailed(effect.generation, str(error)))])

    async def _ask(self, name: str, event: ev.Event, arrived: Arrived, *, wait: bool) -> Row:
        slug = self._unit(name).slug
        self.post([(slug, event)])
        if wait:
            await self._until(slug, arrived)
        await self._saving.flush()
        return self.row(slug)

    async def _all_end(self, limit: float) -> bool:
        """Whether all do, each at most `limit` seconds after the one before."""
        ends = {asyncio.create_task(self._until(slug, _has_ended)) for slug in self._fleet.units}
        try:
            while ends:
                first = asyncio.FIRST_COMPLETED
                done, ends = await asyncio.wait(ends, timeout=limit, return_when=first)
                if not done:
                    return False
            return True
        finally:
            for end in ends:
                end.cancel()

    async def _until(self, slug: str, arrived: Arrived) -> None:
        if not arrived(self._fleet.units.get(slug)):
            await self._waiters.wait(slug, arrived)

    def _unit(self, name: str) -> Unit:
        units = self._fleet.units
        slug = "" if name_fault(without_tag(name)) else slug_of(without_tag(name))
        unit = units.get(name) or units.get(slug)
        if unit is None:
            hint = did_you_mean(slug_of(name), units) or "`atoll ps` lists them"
            raise NotFound(f"there is no agent {name!r}; {hint}")
        return unit

    def _is_up(self, slug: str) -> bool:
        """Whether it serves or starts: one that stops is not to be kept from it."""
        unit = self._fleet.units.get(slug)
        return unit is not None and isinstance(unit.phase, Starting | Running | Replacing)

    def _clock(self) -> Clock:
        return Clock(self._machine.now(), self._machine.epoch())

    def _record(self) -> FleetRecord:
        """What the state file is to hold now."""
        ports, stopped = self.hands.ports.known, unwanted(self._fleet)
        return FleetRecord(
            units={
                slug: UnitRecord(
                    port=ports.get(slug, 0), desired="stopped" if slug in stopped else "running"
                )
                for slug in sorted(ports.keys() | stopped)
            },
            default_llm=self.default_llm,
        )


def _has_ended(unit: Unit | None) -> bool:
    return unit is None or not is_live(unit)
