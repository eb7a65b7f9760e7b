"""From what the keeper tells to what the core takes over (`core.adopt`), and the other way."""

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from atoll_supervisor.core.adopt import Memory, Survivor, memory_of
from atoll_supervisor.core.phases import Unit
from atoll_supervisor.keeper.protocol import Process, Remember, Remembered, State
from atoll_supervisor.loop.news import was_ready

Survivors = dict[str, tuple[Survivor, ...]]


class Remembering:
    """Has the keeper remember what is known of each unit, and tells it nothing twice."""

    def __init__(self, send: Callable[[Remember], None]) -> None:
        self._send = send
        self._told: dict[str, Memory] = {}
        self._gone: list[str] = []

    def tell(self, slugs: Collection[str], units: Mapping[str, Unit]) -> None:
        """Tell what has become of these units."""
        for slug in slugs:
            unit = units.get(slug)
            if unit is None:
                self._gone.append(slug)
                continue
            memory = memory_of(unit)
            if self._told.get(slug) != memory:
                self._told[slug] = memory
                self._send(Remember(slug, msgspec.json.encode(memory).decode()))

    def forget(self, units: Mapping[str, Unit]) -> None:
        """Forget the units that are no more, once the ends of their processes are acknowledged."""
        gone, self._gone = self._gone, []
        for slug in gone:
            if slug not in units and self._told.pop(slug, None) is not None:
                self._send(Remember(slug, ""))

    def again(self, units: Mapping[str, Unit]) -> None:
        """Tell all, to a keeper that may have missed something."""
        self._told.clear()
        self.tell(units, units)


def memories_of(states: Iterable[State]) -> dict[str, Memory]:
    """What the keeper remembers, by unit."""
    return {state.unit: _memory(state.memo) for state in states if isinstance(state, Remembered)}


def survivors_of(states: Iterable[State]) -> Survivors:
    """The processes among these states, by unit."""
    found: Survivors = {}
    for state in states:
        if isinstance(state, Process):
            found[state.unit] = (*found.get(state.unit, ()), _survivor(state))
    return found


def _survivor(state: Process) -> Survivor:
    return Survivor(
        generation=state.generation,
        pid=state.pid or None,
        since=state.since,
        ready=was_ready(state),
        told=bool(state.asked),
        gone=state.stage == "gone",
        checksum=state.memo,
    )


def _memory(memo: str) -> Memory:
    """One of another version that cannot be read is as good as none."""
    try:
        return msgspec.json.decode(memo, type=Memory)
    except msgspec.MsgspecError:
        return Memory()
