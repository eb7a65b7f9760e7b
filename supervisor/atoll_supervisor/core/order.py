"""Which unit comes before which: dependencies first on the way up, last on the way down."""

from collections.abc import Iterator, Mapping

from atoll_supervisor.core.phases import (
    Invalid,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Unit,
    Waiting,
    policy_of,
)
from atoll_supervisor.core.restarts import CLEAN
from atoll_supervisor.core.spec import ANY_TIME


def dependencies(unit: Unit) -> tuple[str, ...]:
    """The slugs that the unit's manifest names; some may be of no unit at all."""
    return unit.spec.depends_on if unit.spec else ()


def start_order(units: Mapping[str, Unit]) -> tuple[str, ...]:
    """Dependencies before their dependants, else by slug; a cycle is cut somewhere."""
    order: dict[str, None] = {}
    seen: set[str] = set()
    for slug in sorted(units):
        _visit(slug, units, seen, order)
    return tuple(order)


def _visit(slug: str, units: Mapping[str, Unit], seen: set[str], order: dict[str, None]) -> None:
    """Depth first and without recursion: a chain of folders may be as long as it likes."""
    path: list[tuple[str, Iterator[str]]] = []
    ahead: str | None = slug
    while ahead is not None or path:
        if ahead is not None and ahead in units and ahead not in seen:
            seen.add(ahead)
            path.append((ahead, iter(dependencies(units[ahead]))))
        if not path:
            return
        ahead = next(path[-1][1], None)
        if ahead is None:
            order[path.pop()[0]] = None


def outlived_by(units: Mapping[str, Unit], order: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """By unit, its dependencies that come before it in the start order: no cycle is left."""
    place = {slug: index for index, slug in enumerate(order)}
    below: dict[str, tuple[str, ...]] = {}
    for slug, index in place.items():
        ahead = tuple(it for it in dependencies(units[slug]) if place.get(it, index) < index)
        if ahead:
            below[slug] = ahead
    return below


def keeps_waiting(dependency: Unit, unit: Unit) -> bool:
    """Whether the unit is not to start, or not to be replaced, because of its dependency.

    That is while the dependency is on its first way up, or itself about to be
    replaced when the unit is to be, too. One that fails keeps nobody waiting, nor
    does one that may wait for a cluster.
    """
    match dependency.phase:
        case Starting() if policy_of(dependency).start_timeout >= ANY_TIME:
            return False
        case Waiting() | Starting():
            return dependency.history == CLEAN
        case Running(renew=cause):
            return bool(cause) and isinstance(unit.phase, Running)
        case Replacing() | Stopping(then="start"):
            return isinstance(unit.phase, Running)
        case _:
            return False


def is_to_close(unit: Unit) -> bool:
    """Whether the end of the daemon has still to be told to the unit."""
    match unit.phase:
        case Invalid() | Stopped() | Stopping(then="rest" | "forget"):
            return False
        case _:
            return True
