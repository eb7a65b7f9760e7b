"""Operators who wait for a unit to get somewhere."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Failed,
    Invalid,
    Replacing,
    Running,
    Starting,
    Stopped,
    Unit,
    policy_of,
)
from atoll_supervisor.core.spec import ANY_TIME

Arrived = Callable[[Unit | None], bool]


class Waiters:
    """Futures that are done when their unit has arrived; None is a unit that is gone."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[asyncio.Future[None], Arrived]] = {}

    async def wait(self, slug: str, arrived: Arrived) -> None:
        """Return when `arrived`; it is looked at after each event of the unit."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(slug, {})[done] = arrived
        try:
            await done
        finally:
            of_unit = self._waiting[slug]
            del of_unit[done]
            if not of_unit:
                del self._waiting[slug]

    def look(self, slugs: Iterable[str], units: Mapping[str, Unit]) -> None:
        """Tell those who wait for these units where they are now."""
        for slug in slugs:
            for done, arrived in self._waiting.get(slug, {}).items():
                if not done.done() and arrived(units.get(slug)):
                    done.set_result(None)


def serves_or_failed(after: int) -> Arrived:
    """Whether a start later than generation `after` serves, or will not by itself soon.

    A replacement that failed leaves the process before it, with a note that says why.
    Nobody waits for a cluster's queue longer than for any unit's turn.
    """

    def arrived(unit: Unit | None) -> bool:
        match unit:
            case None:
                return True
            case Unit(phase=Running() as running):
                failed = bool(running.note) and not running.renew
                return running.generation > after or failed
            case Unit(phase=Starting(early=False) | Replacing(new=Starting(early=False))):
                return policy_of(unit).start_timeout >= ANY_TIME
            case Unit(phase=Asleep() | Invalid() | Failed() | Backoff() | Stopped()):
                return True
            case _:
                return False

    return arrived


def is_at_rest(unit: Unit | None) -> bool:
    """Whether nothing of the unit runs or will by itself, or somebody wants it to again."""
    return unit is None or unit.wanted or isinstance(unit.phase, Stopped | Invalid | Failed)
