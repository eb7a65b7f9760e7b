"""Many units: who may start when, and how all of them go down (DESIGN section 4).

The fleet routes an event to its unit, lets waiting units start in the order in
which they came, but their dependencies first and only so many at once, and
shuts down in reverse (OTP's start and stop order).

A step costs a copy of the table of units and what the event itself costs: who
waits, who starts and who is not wanted are kept beside the units, not looked for.
"""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from atoll_supervisor.core import effects as do
from atoll_supervisor.core.draft import Draft, Order, Orders
from atoll_supervisor.core.events import Event
from atoll_supervisor.core.phases import Asleep, Unit, keeps_socket

__all__ = [
    "START_LIMIT",
    "Fleet",
    "Order",
    "Orders",
    "hold_again",
    "shut_down",
    "step",
    "steps",
    "unwanted",
]

START_LIMIT = 8
"""Units that may be starting at once. A fork is ready after some 11 ms of one core, so a few per
core keep every core busy; more would only make each wait longer for the others, and an exec'ed
interpreter (some 260 ms) would starve what serves already."""


class Fleet(Struct, frozen=True, kw_only=True):
    """All units of one daemon, by slug.

    `unwanted` are the slugs that an operator has stopped, also those that this
    daemon has not met yet. `past` is the newest generation of any forgotten
    unit: a folder that comes back goes on from there, or the late events of its
    former life would be taken for its own. `queue` are the units that wait for
    their turn, in that order, and `early` those that count towards
    `start_limit`. The last two are known while the fleet is `closing`: the
    dependencies that each unit is `outlived` by, and how many living units
    have `needed` of each.
    """

    units: Mapping[str, Unit] = {}
    unwanted: frozenset[str] = frozenset()
    start_limit: int = START_LIMIT
    past: int = 0
    closing: bool = False
    queue: Mapping[str, None] = {}
    early: frozenset[str] = frozenset()
    outlived: Mapping[str, tuple[str, ...]] = {}
    needed: Mapping[str, int] = {}


def step(fleet: Fleet, slug: str, event: Event, now: float, jitter: float) -> tuple[Fleet, Orders]:
    """Let one event happen to the unit of that slug, then let others start or stop.

    A unit is born with the first news of its manifest; any other event of an
    unknown slug is ignored. Once the fleet is closing nothing new is begun.
    """
    return steps(fleet, ((slug, event),), now, lambda: jitter)


def steps(
    fleet: Fleet, happenings: Iterable[tuple[str, Event]], now: float, luck: Callable[[], float]
) -> tuple[Fleet, Orders]:
    """Let many events happen at one time, in their order, and only then let others start."""
    draft = draft_of(fleet, now, luck)
    for slug, event in happenings:
        draft.happen(slug, event)
    draft.admit()
    return fleet_of(draft), tuple(draft.orders)


def shut_down(fleet: Fleet, now: float, jitter: float) -> tuple[Fleet, Orders]:
    """Begin to stop everything, dependants first; the rest follows with later steps."""
    draft = draft_of(fleet, now, lambda: jitter)
    draft.close()
    return fleet_of(draft), tuple(draft.orders)


def unwanted(fleet: Fleet) -> frozenset[str]:
    """The slugs that an operator wants stopped, as the state file keeps them."""
    return fleet.unwanted


def hold_again(fleet: Fleet) -> Orders:
    """What every socket should be: for a keeper that has lost them, or remembers others.

    To be performed when a keeper has taken the place of another, and after the
    fleet was taken over; sockets of no unit at all are the shell's to close.
    """
    orders: list[Order] = []
    for slug, unit in fleet.units.items():
        kept = keeps_socket(unit.phase)
        orders.append(Order(slug, do.HoldSocket() if kept else do.ReleaseSocket()))
        if isinstance(unit.phase, Asleep):
            orders.append(Order(slug, do.WatchSocket()))
    return tuple(orders)


def draft_of(fleet: Fleet, now: float, luck: Callable[[], float]) -> Draft:
    """A copy of the fleet that may be changed."""
    return Draft(
        now=now,
        luck=luck,
        units=dict(fleet.units),
        unwanted=set(fleet.unwanted),
        start_limit=fleet.start_limit,
        past=fleet.past,
        closing=fleet.closing,
        queue=fleet.queue,
        early=set(fleet.early),
        outlived=fleet.outlived,
        needed=dict(fleet.needed),
        orders=[],
    )


def fleet_of(draft: Draft) -> Fleet:
    """The fleet as it has become."""
    return Fleet(
        units=draft.units,
        unwanted=frozenset(draft.unwanted),
        start_limit=draft.start_limit,
        past=draft.past,
        closing=draft.closing,
        queue=draft.queue,
        early=frozenset(draft.early),
        outlived=draft.outlived,
        needed=draft.needed,
    )
