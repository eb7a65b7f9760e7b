"""The fleet's rows for the lists, made anew only where something has changed.

A list of 200 agents is asked for every second by each console, and is the same
as a second ago for nearly every agent but for the time.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from atoll_supervisor.core.phases import Unit, serving, shown
from atoll_supervisor.core.row import Row
from atoll_supervisor.core.view import Clock, Seen, row_of
from atoll_supervisor.loop.hands import Hands

_CLOCK_MOVED = 0.05
"""Seconds by which the wall clock must have been set for rows to be made anew."""


class _Made(Struct, frozen=True):
    """A row, and everything it was made of but how long the process has run."""

    row: Row
    unit: Unit
    seen: Seen
    port: int | None
    offset: float


class Rows:
    """Makes rows and remembers them."""

    def __init__(self, host: str, hands: Hands) -> None:
        self._host = host
        self._hands = hands
        self._made: dict[str, _Made] = {}

    def agents(self, units: Mapping[str, Unit], clock: Clock) -> tuple[Row, ...]:
        """Every agent's row, sorted by slug."""
        for slug in self._made.keys() - units.keys():
            del self._made[slug]
        return tuple(
            self.row(unit, clock)
            for _, unit in sorted(units.items())
            if unit.spec is None or unit.spec.kind == "agent"
        )

    def row(self, unit: Unit, clock: Clock) -> Row:
        """One unit's row as it is at this moment."""
        one = shown(unit)
        generation = one.generation if one else unit.generation
        seen = self._seen(unit.slug, generation, unit.generation)
        offset = clock.epoch - clock.monotonic
        port = self._hands.port_of(unit.slug, generation)
        made = self._made.get(unit.slug)
        if made is None or not _fits(made, unit, seen, port, offset):
            made = _Made(row_of(unit, seen, clock, self._host, port), unit, seen, port, offset)
            self._made[unit.slug] = made
        running = serving(unit)
        if running is None:
            return made.row
        return replace(made.row, uptime_s=round(clock.monotonic - running.since, 3))

    def _seen(self, slug: str, generation: int, newest: int) -> Seen:
        """What is known of the unit's process of this generation without asking it."""
        latest = self._hands.process(slug, newest)
        state, usage = self._hands.process(slug, generation), self._hands.sampler.snapshot.get(slug)
        return Seen(
            waits=latest.status if latest else "",
            instance_id=state.instance or None if state else None,
            in_flight=state.in_flight if state and state.channel else None,
            cpu_percent=usage.cpu_percent if usage else None,
            rss_bytes=usage.rss_bytes if usage else None,
            limits=state.limits if state else {},
        )


def _fits(made: _Made, unit: Unit, seen: Seen, port: int | None, offset: float) -> bool:
    return (
        made.unit is unit
        and made.seen == seen
        and made.port == port
        and abs(made.offset - offset) < _CLOCK_MOVED
    )
