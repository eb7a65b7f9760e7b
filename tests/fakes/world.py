"""A seeded world for the daemon's decision core: clock, processes, sockets, disk and bad luck.

The world performs what the fleet orders, lets things go wrong, kills the daemon
and lets another take over, and checks after every step what must always hold
(`invariants`). One seed and one schedule give one history, step by step:

    python -m tests.fakes.world SEED SCHEDULE [SECONDS]

replays a failure that a test has printed, and says how fast it went.
"""

import sys
import time
from collections.abc import Iterable
from random import Random

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import fleet as fleets
from atoll_supervisor.core.adopt import Memory, adopt, memory_of
from atoll_supervisor.core.fleet import Fleet, Order, Orders
from atoll_supervisor.core.moves import KILL_AGAIN
from atoll_supervisor.core.phases import serving
from atoll_supervisor.core.reconcile import reconcile
from tests.fakes.invariants import check, check_order, check_step, pending_until, unhealthy
from tests.fakes.lives import Lives
from tests.fakes.nature import Action, Child, Clock, Disk, Keeper
from tests.fakes.schedules import GOOD, SCHEDULES, Luck, Schedule
from tests.fakes.visitors import come_by, manifest

Happenings = tuple[tuple[str, ev.Event], ...]

HEALTHY_WITHIN = 30.0
"""Seconds, after the faults and the pauses they caused have ended, until all is well (I8)."""
GIVE_UP = 1500.0


class World:
    """The shell that the fleet decides for, and everything around it."""

    def __init__(self, seed: int, schedule: Schedule) -> None:
        self.random = Random(seed)
        self.schedule = schedule
        self.luck: Luck = schedule.luck
        self.clock = Clock()
        self.keeper = Keeper()
        self.disk = Disk()
        self.fleet = Fleet(start_limit=schedule.limit)
        self.alive = True
        self.life = 0
        """Which daemon this is; what was under way for an earlier one never arrives."""
        self.timers: dict[tuple[str, do.Timer], do.Arm] = {}
        self.probes: set[tuple[str, int]] = set()
        self.spawned: dict[str, list[float]] = {}
        self.bad: set[str] = set()
        """Checksums of manifests that read well and do not start."""
        self.pairs: set[tuple[type, type]] = set()
        self.journal: list[tuple[float, str, do.Record]] = []
        self.last: dict[str, do.Record] = {}
        self.steps = 0
        self.lives = Lives(self)
        self._looking = False
        self._healed_at = float("inf")

    # What a test does with it.

    def discover(self) -> None:
        """Write every manifest, and let the daemon look."""
        self.disk.manifests = {slug: manifest(self, slug) for slug in self.schedule.slugs}
        self._look()

    def run(self, seconds: float) -> None:
        """Let time pass, with visits as luck has it."""
        end = self.clock.now + seconds
        come_by(self, end)
        self.clock.run_until(end)
        if self.alive:
            check(self, (*self.fleet.units, *self.schedule.slugs))
        if self.alive and not self.fleet.closing:  # then what begins is not taken in
            news = reconcile(self.disk.found(), self.fleet.units)
            assert self._looking or not news, f"a second look finds {news}"

    def heal(self) -> list[str]:
        """The faults stop; what is not well when it has to be, which should be nothing.

        Broken and removed manifests stay as they are, those that do not start are mended.
        """
        self.luck = GOOD
        self._healed_at = self.clock.now
        self.disk.full = False
        for slug, spec in self.disk.good().items():
            if spec.checksum in self.bad:
                self.disk.manifests[slug] = manifest(self, slug)
        self.clock.after(0.1, self._look)
        limit = self.clock.now + HEALTHY_WITHIN
        while not self.alive or unhealthy(self):
            self.run(1.0)
            pending = pending_until(self) if self.alive else self.clock.now + 1
            limit = max(limit, pending + HEALTHY_WITHIN if pending > self.clock.now else limit)
            if self.clock.now > min(limit, self._healed_at + GIVE_UP):
                break
        return unhealthy(self)

    def shut_down(self) -> None:
        """The faults that kill the daemon are over, and it is told to go."""
        self.luck = replace(GOOD, deaf=self.luck.deaf, wedged=self.luck.wedged)
        while not self.alive:
            self.run(1.0)
        for unit in self.fleet.units.values():
            self.pairs.add((type(unit.phase), ev.ShutDownBegun))
        self.fleet, orders = fleets.shut_down(self.fleet, self.clock.now, self.random.random())
        self._perform_all(orders)
        check(self, tuple(self.fleet.units))

    @property
    def longest_stop(self) -> float:
        """Seconds a process of this world may take to die after its stop limit."""
        return 1.0 + (KILL_AGAIN if self.luck.wedged else 0.0)

    def happens(self, chance: float) -> bool:
        """Whether something of that chance happens now."""
        return chance > 0 and self.random.random() < chance

    def probing(self, slug: str) -> bool:
        """Whether an answer to a probe is still to come."""
        return any(key[0] == slug for key in self.probes)

    def is_cursed(self, slug: str, generation: int) -> bool:
        """Whether the process comes from the time of faults and may never be ready."""
        return self.keeper.children[slug, generation].since <= self._healed_at

    # The daemon.

    def tell(self, slug: str, event: ev.Event, ended: Child | None = None) -> None:
        """Let an event happen now, if there is a daemon; `ended` is noted with it."""
        if self.alive:
            self._settle(((slug, event),), ended)

    def _settle(self, news: Happenings, ended: Child | None = None) -> None:
        self.steps += 1
        before = self.fleet
        for slug, event in news:
            self._note(slug, event)
        self.fleet, orders = fleets.steps(before, news, self.clock.now, self.random.random)
        if len(news) == 1:
            check_step(before, self.fleet, (news[0][0],), orders)
        self._note_admitted(before, orders)
        if self.happens(self.luck.daemon_dies / 4):
            self._die()
            return
        concerned = {slug for slug, _ in news} | {order.slug for order in orders}
        self._remember(concerned)
        if not self._perform_all(orders):
            return
        if ended is not None:
            self.keeper.children.pop((ended.slug, ended.generation), None)
        for slug in concerned - self.fleet.units.keys():
            self.keeper.memories.pop(slug, None)
            self.last.pop(slug, None)
        self.save()
        check(self, concerned)

    def _note(self, slug: str, event: ev.Event) -> None:
        if (unit := self.fleet.units.get(slug)) is not None:
            self.pairs.add((type(unit.phase), type(event)))
        if isinstance(event, ev.Manifest | ev.Wish):
            self.spawned.setdefault(slug, []).clear()

    def _note_admitted(self, before: Fleet, orders: Orders) -> None:
        for order in orders:
            if isinstance(order.effect, do.Spawn) and order.slug in before.units:
                phase = type(before.units[order.slug].phase)
                if order.slug in before.queue:
                    self.pairs.add((phase, ev.Admitted))

    def _perform_all(self, orders: Orders) -> bool:
        """Perform the orders in turn; False when the daemon died among them."""
        dies_after = None
        if self.happens(self.luck.daemon_dies):
            dies_after = self.random.randint(0, len(orders))
        for index, order in enumerate(orders):
            if index == dies_after:
                break
            self._perform(order)
        if dies_after is not None:
            self._die()
        return self.alive

    def _remember(self, slugs: Iterable[str]) -> None:
        """Have the keeper remember what the next daemon has to know."""
        for slug in slugs:
            if (unit := self.fleet.units.get(slug)) is not None:
                self.keeper.memories[slug] = memory_of(unit)

    def save(self) -> None:
        """Write the state file, if the disk lets us."""
        if not self.disk.full:
            self.disk.unwanted = self.fleet.unwanted
            self.disk.saved_at = self.clock.now

    def _die(self) -> None:
        self.alive = False
        self.life += 1
        self.timers.clear()
        self.probes.clear()
        self.keeper.watched.clear()
        self.clock.after(self.random.uniform(0.01, 3), self._be_born)

    def _be_born(self) -> None:
        """The next daemon: read the state file, take over what lives, look at the disk."""
        self.alive = True
        self.fleet = Fleet(start_limit=self.schedule.limit, unwanted=self.disk.unwanted)
        staying = self.keeper.to_stay()
        # What nobody remembers is counted anew.
        self.last = {slug: self.last[slug] for slug in self.last.keys() & self.keeper.memories}
        left = {child.slug for child in self.keeper.children.values()}
        for slug in sorted(left | self.keeper.memories.keys()):
            self._take_over(slug)
            if not self.alive:
                return
        for slug in staying.keys() - self.disk.unwanted:
            running = serving(self.fleet.units[slug])
            assert running, f"{slug}: not taken over"
            assert running.pid == staying[slug].pid, f"{slug}: its process was lost"
        self._look()
        self._restate()

    def _take_over(self, slug: str) -> None:
        survivors = tuple(child.survivor() for child in self.keeper.of(slug))
        memory = self.keeper.memories.get(slug, Memory())
        self.fleet, orders = adopt(
            self.fleet, slug, memory, survivors, self.clock.now, self.random.random()
        )
        assert not any(
            isinstance(order.effect, do.Spawn) and order.slug == slug for order in orders
        )
        if self._perform_all(orders):
            self._remember((slug,))
            check(self, (slug,))

    def _restate(self) -> None:
        """The keeper's states of what a daemon has just taken over."""
        if not self.alive:
            return
        for slug in sorted(self.keeper.sockets - self.fleet.units.keys()):
            self.keeper.close(slug)
        self.hold_again()
        for child in list(self.keeper.children.values()):
            if child.gone:
                self.lives.tell_end(child)
            else:
                self.lives.be_silent(child)

    def _look(self) -> None:
        """Discovery: what changed on disk becomes events."""
        self._looking = False
        if self.alive:
            news = reconcile(self.disk.found(), self.fleet.units)
            if news:
                self._settle(news)

    def edited(self) -> None:
        """The watcher saw something: many edits make one look."""
        if not self._looking:
            self._looking = True
            self.clock.after(0.05, self._look)

    # Its hands.

    def _perform(self, order: Order) -> None:
        slug = order.slug
        match order.effect:
            case do.Spawn(generation=generation):
                self.lives.launch(self.fleet.units[slug], generation)
            case do.Terminate(generation=generation):
                self.lives.terminate(self.keeper.children[slug, generation])
            case do.Kill(generation=generation):
                self.lives.kill(self.keeper.children[slug, generation])
            case do.Probe(generation=generation):
                self._probe(slug, generation)
            case do.HoldSocket():
                self.keeper.sockets.add(slug)
            case do.ReleaseSocket():
                self.keeper.close(slug)
            case do.WatchSocket():
                self.keeper.watched.add(slug)
                self.lives.wake(slug)
            case other:
                self._keep(slug, other)

    def _keep(self, slug: str, effect: do.Effect) -> None:
        match effect:
            case do.Arm() as arm:
                self.timers[slug, arm.timer] = arm
                early = 1e-9 if self.happens(0.1) else 0.0  # as event loops are
                delay = arm.at - self.clock.now - early
                self.in_this_life(delay, lambda: self._ring(slug, arm))
            case do.Disarm(timer=timer):
                armed = self.timers.pop((slug, timer), None)
                if armed and self.happens(self.luck.echoes):  # it was on its way already
                    self._later(slug, ev.elapsed(timer, armed.generation), 1)
            case do.Record() as record:
                check_order(slug, self.last.get(slug, record), record)
                self.last[slug] = record
                self.journal.append((self.clock.now, slug, record))
            case _:
                assert isinstance(effect, do.Forget)

    def in_this_life(self, delay: float, action: Action) -> None:
        """Do something later, unless the daemon dies before."""
        life = self.life
        self.clock.after(delay, lambda: action() if self.life == life else None)

    def _later(self, slug: str, event: ev.Event, within: float) -> None:
        self.in_this_life(self.random.uniform(0, within), lambda: self.tell(slug, event))

    def _ring(self, slug: str, arm: do.Arm) -> None:
        if self.timers.get((slug, arm.timer)) is arm:
            del self.timers[slug, arm.timer]
            self.tell(slug, ev.elapsed(arm.timer, arm.generation))

    def _probe(self, slug: str, generation: int) -> None:
        child = self.keeper.children[slug, generation]
        key = (slug, generation)
        self.probes.add(key)
        well = not child.gone and child.hung_at is None
        answer = ev.ProbePassed(generation) if well else ev.ProbeFailed(generation, "timed out")
        self.in_this_life(0.02 if well else 2.0, lambda: self._probed(key, answer))

    def _probed(self, key: tuple[str, int], answer: ev.Event) -> None:
        self.probes.discard(key)
        self.report(key[0], answer)

    def report(self, slug: str, event: ev.Event, ended: Child | None = None) -> None:
        """Tell an event of a process, and perhaps once more, later."""
        self.tell(slug, event, ended)
        if self.happens(self.luck.echoes):
            self._later(slug, event, 20)

    def hold_again(self) -> None:
        """Have every socket as it should be."""
        if self.alive and self._perform_all(fleets.hold_again(self.fleet)):
            self._remember(self.fleet.units)


def main(seed: int, name: str, seconds: float | None = None) -> int:
    """Replay one history through trouble to health, and say how fast it went."""
    schedule, begun = SCHEDULES[name], time.process_time()
    world = World(seed, schedule)
    world.discover()
    world.run(schedule.seconds if seconds is None else seconds)
    ill = world.heal()
    took = time.process_time() - begun
    rate = world.clock.now / 3600 / took * 60
    print(f"seed={seed} schedule={name!r}: {world.clock.now:.0f} s, {world.steps} steps,")
    print(
        f"{world.life} daemons killed, {took:.2f} s of CPU, {rate:.0f} supervisor-hours/CPU minute"
    )
    print("\n".join(ill) or "all is well")
    return 1 if ill else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:4])))
