"""A seeded world for the daemon's decision core: clock, processes, sockets and bad luck.

The world performs what the fleet orders, lets things go wrong, and checks
after every step what must always hold (`faults.md` section 1, as far as one
process's decisions reach). One seed gives one history.
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import fleet as fleets
from atoll_supervisor.core.fleet import Fleet, Order
from atoll_supervisor.core.phases import Failed, Invalid, Running, Stopped
from atoll_supervisor.core.spec import Policy, Restart, UnitSpec
from tests.fakes.invariants import check

POLICIES: tuple[Restart, ...] = ("always", "on-failure", "never")


class Luck(Struct, frozen=True, kw_only=True):
    """How things go: chances of each launch, and faults from outside per second."""

    spawn_fails: float = 0.0
    crashes_at_start: float = 0.0
    never_ready: float = 0.0
    crashes_later: float = 0.0
    finishes: float = 0.0
    hangs: float = 0.0
    deaf: float = 0.0
    wedged: float = 0.0
    echoes: float = 0.0
    """Chance that an event of a process comes a second time, later."""
    visits: float = 0.0
    """Operators, editors and killers that come by, per second."""


GOOD = Luck()


class Child(Struct):
    """A process that the world runs."""

    pid: int
    generation: int
    hung: bool = False
    deaf: bool = False
    lives: int = 1


class World:
    """The shell that the fleet decides for, with a virtual clock."""

    def __init__(self, seed: int, luck: Luck, slugs: tuple[str, ...], limit: int = 2) -> None:
        self.random = Random(seed)
        self.luck = luck
        self.slugs = slugs
        self.now = 0.0
        self.fleet = Fleet(start_limit=limit)
        self.children: dict[str, Child] = {}
        self.launching: dict[str, int] = {}
        self.sockets: set[str] = set()
        self.timers: dict[tuple[str, do.Timer], do.Arm] = {}
        self.spawned: dict[str, list[float]] = {slug: [] for slug in slugs}
        self.pairs: set[tuple[type, type]] = set()
        self.journal: list[tuple[float, str, do.Record]] = []
        self.steps = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = count()
        self._pids = count(1000)

    # What a test does with it.

    def tell(self, slug: str, event: ev.Event) -> None:
        """Let an event happen now."""
        if (unit := self.fleet.units.get(slug)) is not None:
            self.pairs.add((type(unit.phase), type(event)))
        if isinstance(event, ev.Manifest | ev.Wish):
            self.spawned.setdefault(slug, []).clear()
        self.fleet, orders = fleets.step(self.fleet, slug, event, self.now, self.random.random())
        self._settle(orders)

    def shut_down(self) -> None:
        """Let the daemon be told to go."""
        for unit in self.fleet.units.values():
            self.pairs.add((type(unit.phase), ev.ShutDownBegun))
        self.fleet, orders = fleets.shut_down(self.fleet, self.now, self.random.random())
        self._settle(orders)

    def run(self, seconds: float) -> None:
        """Let time pass, with visits as luck has it."""
        end = self.now + seconds
        for at in self._visits(end):
            self._run_until(at)
            self._visit(self.random.choice(self.slugs))
        self._run_until(end)

    def discover(self) -> None:
        """Let every unit be found."""
        for slug in self.slugs:
            self.tell(slug, ev.SpecAccepted(self.spec(slug)))

    def spec(self, slug: str) -> UnitSpec:
        """A specification as a manifest of this slug might say; the first slug has dependants."""
        policy = Policy(
            restart=self.random.choices(POLICIES, (4, 4, 1))[0],
            max_restarts=self.random.choice((0, 1, 5, 50)),
            restart_window=self.random.choice((5.0, 60.0)),
            restart_delay=self.random.choice((None, 0.0, 5.0)),
            start_timeout=self.random.choice((2.0, 20.0)),
            stop_timeout=self.random.choice((0.0, 3.0)),
            probe_interval=5.0,
        )
        above = self.slugs[: self.slugs.index(slug)][:1]
        checksum = str(self.random.getrandbits(40))
        return UnitSpec(slug=slug, name=slug, checksum=checksum, policy=policy, depends_on=above)

    # Time.

    def _at(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._ticket), action))

    def _run_until(self, end: float) -> None:
        while self._queue and self._queue[0][0] <= end:
            at, _, action = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            action()
        self.now = end

    def _visits(self, end: float) -> Iterator[float]:
        at = self.now
        while self.luck.visits:
            at += self.random.expovariate(self.luck.visits)
            if at >= end:
                return
            yield at

    def _happens(self, chance: float) -> bool:
        return self.random.random() < chance

    # What the shell does.

    def _settle(self, orders: fleets.Orders) -> None:
        self.steps += 1
        for order in orders:
            self._perform(order)
        check(self)

    def _perform(self, order: Order) -> None:
        slug = order.slug
        match order.effect:
            case do.Spawn(generation=generation):
                self._spawn(slug, generation)
            case do.Terminate(generation=generation):
                self._terminate(slug, generation)
            case do.Kill(generation=generation):
                self._kill(slug, generation)
            case do.Probe(generation=generation):
                self._probe(slug, generation)
            case do.HoldSocket():
                self.sockets.add(slug)
            case do.ReleaseSocket():
                self.sockets.discard(slug)
            case other:
                self._keep(slug, other)

    def _keep(self, slug: str, effect: do.Effect) -> None:
        match effect:
            case do.Arm() as arm:
                self.timers[slug, arm.timer] = arm
                self._at(max(0.0, arm.at - self.now), lambda: self._ring(slug, arm))
            case do.Disarm(timer=timer):
                armed = self.timers.pop((slug, timer), None)
                if armed and self._happens(self.luck.echoes):  # it was on its way already
                    late = ev.elapsed(timer, armed.generation)
                    self._at(self.random.uniform(0, 1), lambda: self.tell(slug, late))
            case do.Record() as record:
                self.journal.append((self.now, slug, record))
            case _:
                assert isinstance(effect, do.Forget)

    def _ring(self, slug: str, arm: do.Arm) -> None:
        if self.timers.get((slug, arm.timer)) is arm:
            del self.timers[slug, arm.timer]
            self.tell(slug, ev.elapsed(arm.timer, arm.generation))

    def _report(self, slug: str, event: ev.Event) -> None:
        self.tell(slug, event)
        if self._happens(self.luck.echoes):
            self._at(self.random.uniform(0, 20), lambda: self.tell(slug, event))

    def _spawn(self, slug: str, generation: int) -> None:
        assert slug not in self.launching
        self.launching[slug] = generation
        self.spawned[slug].append(self.now)
        self._at(self.random.uniform(0.001, 0.3), lambda: self._launch(slug, generation))

    def _launch(self, slug: str, generation: int) -> None:
        del self.launching[slug]
        if self._happens(self.luck.spawn_fails):
            return self._report(slug, ev.SpawnFailed(generation, "the port is in use"))
        child = Child(next(self._pids), generation, deaf=self._happens(self.luck.deaf))
        child.lives = 2 if self._happens(self.luck.wedged) else 1
        self.children[slug] = child
        self._live(slug, child)
        return self._report(slug, ev.Spawned(generation, child.pid))

    def _live(self, slug: str, child: Child) -> None:
        """Decide how the life of a process goes."""
        if self._happens(self.luck.crashes_at_start):
            return self._at(self.random.uniform(0, 0.2), lambda: self._end(slug, child, code=1))
        if self._happens(self.luck.never_ready):
            return None
        self._at(self.random.uniform(0.2, 1), lambda: self._ready(slug, child))
        later = self.random.expovariate(1 / 40)
        if self._happens(self.luck.finishes):
            self._at(1 + later, lambda: self._end(slug, child, code=0))
        if self._happens(self.luck.crashes_later):
            self._at(1 + later, lambda: self._end(slug, child, signal="SIGSEGV"))
        if self._happens(self.luck.hangs):
            self._at(1 + later, lambda: self._hang(child))
        return None

    def _ready(self, slug: str, child: Child) -> None:
        if self.children.get(slug) is child and not child.hung:
            self._report(slug, ev.BecameReady(child.generation))

    def _hang(self, child: Child) -> None:
        child.hung = True

    def _end(
        self, slug: str, child: Child, code: int | None = None, signal: str | None = None
    ) -> None:
        if self.children.get(slug) is child:
            del self.children[slug]
            self._report(slug, ev.Exited(child.generation, code, signal))

    def _of(self, slug: str, generation: int) -> Child | None:
        child = self.children.get(slug)
        return child if child and child.generation == generation else None

    def _terminate(self, slug: str, generation: int) -> None:
        child = self._of(slug, generation)
        if child and not (child.deaf or child.hung):
            self._at(self.random.uniform(0, 1.5), lambda: self._end(slug, child, signal="SIGTERM"))

    def _kill(self, slug: str, generation: int) -> None:
        if child := self._of(slug, generation):
            child.lives -= 1
            if child.lives <= 0:
                self._at(0.01, lambda: self._end(slug, child, signal="SIGKILL"))

    def _probe(self, slug: str, generation: int) -> None:
        child = self._of(slug, generation)
        if child and not child.hung:
            answer: ev.Event = ev.ProbePassed(generation)
            return self._at(0.02, lambda: self._report(slug, answer))
        answer = ev.ProbeFailed(generation, "timed out")
        return self._at(2.0, lambda: self._report(slug, answer))

    # Who comes by.

    def _visit(self, slug: str) -> None:
        unit = self.fleet.units.get(slug)
        broken = ev.SpecBroken("agent.toml:3:1: unknown key", f"{slug}/agent.toml")
        same = unit.spec if unit and unit.spec else self.spec(slug)
        events: tuple[ev.Event, ...] = (
            ev.StartAsked(),
            ev.StopAsked(),
            ev.RestartAsked(),
            ev.SpecAccepted(self.spec(slug)),
            ev.SpecAccepted(replace(same)),
            broken,
            ev.Removed(),
        )
        kinds = (*events, *("SIGKILL", "SIGTERM", "SIGSTOP") * 3)
        self._do(slug, self.random.choice(kinds))

    def _do(self, slug: str, visit: ev.Event | str) -> None:
        child = self.children.get(slug)
        if not isinstance(visit, str):
            self.tell(slug, visit)
        elif child and visit == "SIGSTOP":
            child.hung = True
        elif child:
            self._end(slug, child, signal=visit)


def unhealthy(world: World) -> list[str]:
    """The units that should run by now and do not; what may stay down by its policy is left out."""
    return [
        f"{unit.slug}: {unit.phase}"
        for unit in world.fleet.units.values()
        if unit.wanted and not isinstance(unit.phase, Running | Stopped | Invalid)
        if not (isinstance(unit.phase, Failed) and unit.phase.retry_at is None)
    ]
