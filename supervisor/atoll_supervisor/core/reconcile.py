"""The difference between what was found on disk and what the fleet has, as events.

Discovery reads everything each time; what is the same makes no event, so that
a storm of looks at an unchanged folder changes nothing.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from atoll_supervisor.core.events import Event, Removed, SpecAccepted, SpecBroken
from atoll_supervisor.core.phases import Invalid, Stopping, Unit, serving
from atoll_supervisor.core.spec import UnitSpec


class Broken(Struct, frozen=True):
    """A manifest that cannot be used.

    `slug` is the best guess of whose it is (the folder's, when the name inside
    cannot be read); `config_path` tells for certain, if the file was good once.
    """

    slug: str
    config_path: str
    problem: str


Found = UnitSpec | Broken
News = tuple[tuple[str, Event], ...]


def reconcile(found: Iterable[Found], units: Mapping[str, Unit]) -> News:
    """What happened to which unit since the last look: removals first, then by slug.

    Of two good manifests with one slug the first in `found` counts; discovery
    reports the second as a problem of its own. A broken file never takes the
    slug of a good one.
    """
    specs: dict[str, UnitSpec] = {}
    broken: dict[str, Broken] = {}
    owners = {unit.spec.config_path: slug for slug, unit in units.items() if unit.spec}
    for item in found:
        if isinstance(item, UnitSpec):
            specs.setdefault(item.slug, item)
        else:
            broken.setdefault(owners.get(item.config_path, item.slug), item)
    gone = sorted(units.keys() - specs.keys() - broken.keys())
    removed = tuple((slug, Removed()) for slug in gone if not _is_leaving(units[slug]))
    return removed + tuple(_news(specs, broken, units))


def _news(
    specs: Mapping[str, UnitSpec], broken: Mapping[str, Broken], units: Mapping[str, Unit]
) -> Iterable[tuple[str, Event]]:
    for slug in sorted(specs.keys() | broken.keys()):
        unit = units.get(slug)
        if slug in specs:
            if not _has(unit, specs[slug]):
                yield slug, SpecAccepted(specs[slug])
        elif not _knows(unit, broken[slug]):
            yield slug, SpecBroken(broken[slug].problem, broken[slug].config_path)


def _has(unit: Unit | None, spec: UnitSpec) -> bool:
    if unit is None or _is_leaving(unit):
        return False
    return unit.spec == spec and (unit.config_error is None or _was_tried(unit))


def _was_tried(unit: Unit) -> bool:
    """Whether what is complained of is not the file, but that it did not start."""
    running = serving(unit)
    return running is not None and unit.config_error == running.note


def _knows(unit: Unit | None, broken: Broken) -> bool:
    if unit is None or _is_leaving(unit):
        return False
    moved = isinstance(unit.phase, Invalid) and unit.phase.config_path != broken.config_path
    return unit.config_error == broken.problem and not moved


def _is_leaving(unit: Unit) -> bool:
    return isinstance(unit.phase, Stopping) and unit.phase.then == "forget"
