"""Operators who wait for a unit to get somewhere."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from atoll_supervisor.core.phases import (
    Backoff,
    Failed,
    Invalid,
    Running,
    Stopped,
    Unit,
)

Arrived = Callable[[Unit | None], bool]


class _Waiter(Struct, frozen=True, eq=False):
    slug: str
    arrived: Arrived
    done: asyncio.Future[None]


class Waiters:
    """Futures that are done when their unit has arrived; None is a unit that is gone."""

    def __init__(self) -> None:
        self._waiting: list[_Waiter] = []

    async def wait(self, slug: str, arrived: Arrived) -> None:
        """Return when `arrived`; it is looked at after each event of the unit."""
        done = asyncio.get_running_loop().create_future()
        waiter = _Waiter(slug, arrived, done)
        self._waiting.append(waiter)
        try:
            await done
        finally:
            self._waiting.remove(waiter)

    def look(self, slug: str, unit: Unit | None) -> None:
        """Tell those who wait for this unit where it is now."""
        for waiter in self._waiting:
            if waiter.slug == slug and not waiter.done.done() and waiter.arrived(unit):
                waiter.done.set_result(None)


def serves_or_failed(after: int) -> Arrived:
    """Whether a start later than generation `after` serves, or will not by itself soon."""

    def arrived(unit: Unit | None) -> bool:
        match unit:
            case None:
                return True
            case Unit(phase=Running()):
                return unit.generation > after
            case Unit(phase=Invalid() | Failed() | Backoff() | Stopped()):
                return True
            case _:
                return False

    return arrived


def is_at_rest(unit: Unit | None) -> bool:
    """Whether nothing of the unit runs or will by itself."""
    return unit is None or isinstance(unit.phase, Stopped | Invalid | Failed)
