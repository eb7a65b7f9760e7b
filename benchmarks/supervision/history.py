"""The recorded events as evidence: what must hold of any history (faults.md section 4)."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import msgspec

TAKEN_OVER = "taken over"
"""How the first event begins that a new daemon tells of a process which it found.

Between a daemon's last word and that, things have happened that nobody told.
"""


class Event(msgspec.Struct, frozen=True):
    """What is needed of an event of `GET /api/v1/events`."""

    id: int
    unit: str
    before: str = ""
    after: str = ""
    cause: str = ""
    generation: int = 0
    restarts: int = 0


class Events(msgspec.Struct, frozen=True):
    """The answer of `GET /api/v1/events`."""

    events: list[Event]


def faults(events: Iterable[Event]) -> list[str]:
    """Every contradiction: ids that do not rise, a phase left that was never entered, ..."""
    by_unit: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.unit and event.after:
            by_unit[event.unit].append(event)
    return [fault for of_unit in by_unit.values() for fault in _faults(of_unit)]


def _faults(events: list[Event]) -> list[str]:
    found: list[str] = []
    for one, next_one in pairwise(events):
        where = f"{next_one.unit}: event {next_one.id}"
        if next_one.id <= one.id:
            found.append(f"{where} comes after {one.id}")
        if next_one.before != one.after and not next_one.cause.startswith(TAKEN_OVER):
            found.append(f"{where} leaves {next_one.before!r}, but it was {one.after!r}")
        if next_one.generation < one.generation:
            found.append(f"{where}: generation {next_one.generation} after {one.generation}")
        if next_one.restarts < one.restarts:
            found.append(f"{where}: {next_one.restarts} restarts after {one.restarts}")
        if not next_one.cause:
            found.append(f"{where}: no cause")
    return found
