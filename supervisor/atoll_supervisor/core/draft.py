"""A fleet while it changes: `fleet` makes it of a value, and a value of it again.

What lives only for the length of one step may be changed in place; nobody
else ever sees it.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from atoll_supervisor.core import machine
from atoll_supervisor.core.effects import Effect, Forget
from atoll_supervisor.core.events import (
    Admitted,
    ClientWaits,
    Event,
    RestartAsked,
    ShutDownBegun,
    SpecAccepted,
    SpecBroken,
    StartAsked,
)
from atoll_supervisor.core.order import (
    dependencies,
    is_to_close,
    keeps_waiting,
    outlived_by,
    start_order,
)
from atoll_supervisor.core.phases import Replacing, Running, Starting, Unit, Waiting, is_live


class Order(Struct, frozen=True):
    """One effect, and the unit it is for."""

    slug: str
    effect: Effect


Orders = tuple[Order, ...]

_BEGINS = StartAsked | RestartAsked | SpecAccepted | SpecBroken | ClientWaits


class Draft(Struct, kw_only=True):
    """The fields of `fleet.Fleet`, and the orders that have come of the step so far.

    `moved` tells that somebody may have become free to start, `freed` are units
    whose last dependants have just ended. The queue, which may be as long as the
    table of units, is copied into `own_queue` only when it changes.
    """

    now: float
    luck: Callable[[], float]
    units: dict[str, Unit]
    unwanted: set[str]
    start_limit: int
    past: int
    closing: bool
    queue: Mapping[str, None]
    early: set[str]
    outlived: Mapping[str, tuple[str, ...]]
    needed: dict[str, int]
    orders: list[Order]
    own_queue: dict[str, None] | None = None
    moved: bool = False
    freed: list[str] = []

    def happen(self, slug: str, event: Event) -> None:
        """Let one event happen to one unit, and while closing, what follows for others."""
        if self.closing and isinstance(event, _BEGINS):
            return
        if slug not in self.units:
            if not isinstance(event, SpecAccepted | SpecBroken):
                return
            self.born(slug)
        self._apply(slug, event)
        if self.closing:
            self._close_along(slug)

    def born(self, slug: str) -> Unit:
        """A unit of which nothing is known yet but what the operator wants."""
        unit = Unit(slug=slug, wanted=slug not in self.unwanted, generation=self.past)
        self.units[slug] = unit
        return unit

    def put(self, unit: Unit) -> None:
        """Place the unit as it is now, and keep what is known of all in step with it."""
        slug, before = unit.slug, self.units[unit.slug]
        self.units[slug] = unit
        waited = slug in self.queue
        if _is_waiting(unit) != waited:
            self._enqueue(slug, leaves=waited)
        (self.early.add if _is_early(unit) else self.early.discard)(slug)
        (self.unwanted.discard if unit.wanted else self.unwanted.add)(slug)
        turned = type(before.phase) is not type(unit.phase)
        self.moved = self.moved or waited or turned or _is_early(before) or slug in self.queue
        if self.closing and is_live(before) and not is_live(unit):
            self._free(slug)

    def admit(self) -> None:
        """Give units their turn while there is room, in order, dependencies first."""
        if self.closing or not self.moved:
            return
        passed: set[str] = set()
        for slug in tuple(self.queue):
            if len(self.early) >= self.start_limit:
                return
            if (first := self._first(slug, passed)) is not None:
                self._apply(first, Admitted())

    def close(self) -> None:
        """Stop each unit that no living unit depends on; in reverse start order."""
        order = start_order(self.units)
        self.closing = True
        self.outlived = outlived_by(self.units, order)
        for slug in order:
            if is_live(self.units[slug]):
                for dependency in self.outlived.get(slug, ()):
                    self.needed[dependency] = self.needed.get(dependency, 0) + 1
        for slug in reversed(order):
            self._close_along(slug)

    def _apply(self, slug: str, event: Event) -> None:
        before = self.units[slug]
        unit, effects = machine.step(before, event, self.now, self.luck())
        self.orders += [Order(slug, effect) for effect in effects]
        if unit is not before:
            self.put(unit)
        if Forget() in effects:
            self._forget(unit)

    def _enqueue(self, slug: str, *, leaves: bool) -> None:
        if self.own_queue is None:
            self.queue = self.own_queue = dict(self.queue)
        if leaves:
            del self.own_queue[slug]
        else:
            self.own_queue[slug] = None

    def _forget(self, unit: Unit) -> None:
        del self.units[unit.slug]
        self.unwanted.discard(unit.slug)
        self.past = max(self.past, unit.generation)

    def _first(self, slug: str, passed: set[str]) -> str | None:
        """Who may start now so that this one can: itself, or what it waits for; None if nobody.

        Those that were `passed` before on this round are no answer again. Those
        passed on this way are a cycle, and would wait for each other for ever.
        """
        way: set[str] = set()
        while slug not in passed and machine.is_due(unit := self.units[slug]):
            way.add(slug)
            ahead = (it for it in dependencies(unit) if it in self.units and it not in way)
            waits_for = next((it for it in ahead if keeps_waiting(self.units[it], unit)), None)
            if waits_for is None:
                passed |= way
                return slug
            slug = waits_for
        passed |= way
        return None

    def _free(self, slug: str) -> None:
        """The unit is gone from the machine: what it needed may go, too."""
        for dependency in self.outlived.get(slug, ()):
            self.needed[dependency] -= 1
            self.freed.append(dependency)

    def _close_along(self, slug: str) -> None:
        """Tell this unit and those it has freed that the daemon ends, if they have to know."""
        self.freed.append(slug)
        while self.freed:
            unit = self.units.get(next_one := self.freed.pop())
            if unit is None or not is_to_close(unit):
                continue
            if not (is_live(unit) and self.needed.get(next_one, 0)):
                self._apply(next_one, ShutDownBegun())


def _is_waiting(unit: Unit) -> bool:
    match unit.phase:
        case Waiting():
            return True
        case Running(renew=cause):
            return bool(cause)
        case _:
            return False


def _is_early(unit: Unit) -> bool:
    match unit.phase:
        case Starting(early=early) | Replacing(new=Starting(early=early)):
            return early
        case _:
            return False
