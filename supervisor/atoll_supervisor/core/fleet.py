"""Many units: who may start when, and how all of them go down (DESIGN section 4).

The fleet routes an event to its unit, lets waiting units start in the order of
their dependencies and only so many at once, and shuts down in reverse (OTP's
start and stop order).
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from atoll_supervisor.core import machine
from atoll_supervisor.core.effects import Effect, Forget
from atoll_supervisor.core.events import (
    Admitted,
    Event,
    RestartAsked,
    ShutDownBegun,
    SpecAccepted,
    SpecBroken,
    StartAsked,
)
from atoll_supervisor.core.phases import (
    Invalid,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
    is_live,
)
from atoll_supervisor.core.restarts import CLEAN


class Fleet(Struct, frozen=True, kw_only=True):
    """All units of one daemon, by slug.

    `unwanted` are the slugs that an operator had stopped before this daemon
    began and that it has not met yet; `start_limit` is how many may be
    starting at once. `past` is the newest generation of any forgotten unit: a
    folder that comes back goes on from there, or the late events of its former
    life would be taken for its own.
    """

    units: Mapping[str, Unit] = {}
    unwanted: frozenset[str] = frozenset()
    start_limit: int = 4
    past: int = 0
    closing: bool = False


class Order(Struct, frozen=True):
    """One effect, and the unit it is for."""

    slug: str
    effect: Effect


Orders = tuple[Order, ...]


def step(fleet: Fleet, slug: str, event: Event, now: float, jitter: float) -> tuple[Fleet, Orders]:
    """Let one event happen to the unit of that slug, then let others start or stop.

    A unit is born with the first news of its manifest; any other event of an
    unknown slug is ignored. Once the fleet is closing nothing new is begun.
    """
    if fleet.closing and isinstance(event, StartAsked | RestartAsked | SpecAccepted | SpecBroken):
        return fleet, ()
    if slug not in fleet.units:
        if not isinstance(event, SpecAccepted | SpecBroken):
            return fleet, ()
        fleet = _born(fleet, slug)
    fleet, orders = _apply(fleet, slug, event, now, jitter)
    fleet, more = _advance(fleet, now, jitter)
    return fleet, orders + more


def shut_down(fleet: Fleet, now: float, jitter: float) -> tuple[Fleet, Orders]:
    """Begin to stop everything, dependants first; the rest follows with later steps."""
    return _advance(replace(fleet, closing=True), now, jitter)


def unwanted(fleet: Fleet) -> frozenset[str]:
    """The slugs that an operator wants stopped, as the state file keeps them."""
    return fleet.unwanted | {slug for slug, unit in fleet.units.items() if not unit.wanted}


def start_order(units: Mapping[str, Unit]) -> tuple[str, ...]:
    """Dependencies before their dependants, else by slug; a cycle is cut somewhere."""
    order: dict[str, None] = {}
    seen: set[str] = set()
    for slug in sorted(units):
        _visit(slug, units, seen, order)
    return tuple(order)


def _visit(slug: str, units: Mapping[str, Unit], seen: set[str], order: dict[str, None]) -> None:
    if slug in seen or slug not in units:
        return
    seen.add(slug)
    for dependency in _dependencies(units[slug]):
        _visit(dependency, units, seen, order)
    order[slug] = None


def _dependencies(unit: Unit) -> tuple[str, ...]:
    return unit.spec.depends_on if unit.spec else ()


def _born(fleet: Fleet, slug: str) -> Fleet:
    unit = Unit(slug=slug, wanted=slug not in fleet.unwanted, generation=fleet.past)
    return replace(fleet, units={**fleet.units, slug: unit}, unwanted=fleet.unwanted - {slug})


def _apply(
    fleet: Fleet, slug: str, event: Event, now: float, jitter: float
) -> tuple[Fleet, Orders]:
    unit, effects = machine.step(fleet.units[slug], event, now, jitter)
    orders = tuple(Order(slug, effect) for effect in effects)
    if Forget() in effects:
        return _forgotten(fleet, unit), orders
    return replace(fleet, units={**fleet.units, slug: unit}), orders


def _forgotten(fleet: Fleet, unit: Unit) -> Fleet:
    units = {slug: other for slug, other in fleet.units.items() if slug != unit.slug}
    return replace(fleet, units=units, past=max(fleet.past, unit.generation))


def _advance(fleet: Fleet, now: float, jitter: float) -> tuple[Fleet, Orders]:
    if fleet.closing:
        return _close(fleet, now, jitter)
    if any(isinstance(unit.phase, Waiting) for unit in fleet.units.values()):
        return _admit(fleet, now, jitter)
    return fleet, ()


def _admit(fleet: Fleet, now: float, jitter: float) -> tuple[Fleet, Orders]:
    """Give waiting units their turn while there is room, dependencies first."""
    orders: Orders = ()
    earlier: set[str] = set()
    room = fleet.start_limit - sum(_is_early(unit) for unit in fleet.units.values())
    for slug in start_order(fleet.units):
        unit = fleet.units[slug]
        if room > 0 and isinstance(unit.phase, Waiting) and _may_start(fleet, unit, earlier):
            fleet, more = _apply(fleet, slug, Admitted(), now, jitter)
            orders += more
            room -= 1
        earlier.add(slug)
    return fleet, orders


def _is_early(unit: Unit) -> bool:
    return isinstance(unit.phase, Starting) and unit.phase.early


def _may_start(fleet: Fleet, unit: Unit, earlier: set[str]) -> bool:
    """Whether no dependency is on its first way up; one that fails keeps nobody waiting.

    Dependencies that are not `earlier` in the start order are those of a
    cycle, and would wait for each other for ever.
    """
    ahead = (fleet.units[slug] for slug in _dependencies(unit) if slug in earlier)
    return not any(
        isinstance(dependency.phase, Waiting | Starting) and dependency.history == CLEAN
        for dependency in ahead
    )


def _close(fleet: Fleet, now: float, jitter: float) -> tuple[Fleet, Orders]:
    """Stop each unit that no living unit depends on; in reverse start order."""
    orders: Orders = ()
    needed: set[str] = set()
    for slug in reversed(start_order(fleet.units)):
        if _is_to_close(fleet.units[slug], slug in needed):
            fleet, more = _apply(fleet, slug, ShutDownBegun(), now, jitter)
            orders += more
        if is_live(fleet.units[slug]):
            needed.update(_dependencies(fleet.units[slug]))
    return fleet, orders


def _is_to_close(unit: Unit, is_needed: bool) -> bool:
    match unit.phase:
        case Invalid() | Stopped() | Stopping(then="rest" | "forget"):
            return False
        case _:
            return not (is_needed and is_live(unit))
