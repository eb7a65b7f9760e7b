"""The processes of the fleet, as the keeper last told of each."""

from collections.abc import Collection, Iterator

from atoll_supervisor.keeper.protocol import Process
from atoll_supervisor.loop.news import unheard

Key = tuple[str, int]
"""Unit and generation."""


class Processes:
    """One entry for each process from its launch until its end was told."""

    def __init__(self) -> None:
        self._units: dict[str, dict[int, Process]] = {}

    def __iter__(self) -> Iterator[Process]:
        """All, in a list of their own: what is done to one may end it."""
        return iter([state for states in self._units.values() for state in states.values()])

    def of(self, unit: str) -> tuple[Process, ...]:
        """Those of one unit."""
        return tuple(self._units.get(unit, {}).values())

    def get(self, unit: str, generation: int | None) -> Process | None:
        """One of them."""
        return self._units.get(unit, {}).get(generation or 0)

    def launched(self, unit: str, generation: int) -> None:
        """A keeper that dies before it tells of the launch still owes the core its end."""
        self._units.setdefault(unit, {}).setdefault(generation, Process(unit, generation))

    def told(self, state: Process) -> Process:
        """Remember this; says what was known before."""
        was = self.get(state.unit, state.generation) or unheard(state)
        if state.stage == "gone":
            self._drop(state)
        else:
            self._units.setdefault(state.unit, {})[state.generation] = state
        return was

    def take_over(self, state: Process) -> None:
        """One that an earlier daemon left; its end, too, is still to be told."""
        self._units.setdefault(state.unit, {})[state.generation] = state

    def is_stray(self, state: Process) -> bool:
        """Whether it lives although its end was told."""
        return state.stage != "gone" and self.get(state.unit, state.generation) is None

    def without(self, there: Collection[Key]) -> frozenset[Key]:
        """Those that are not among these."""
        every = ((state.unit, state.generation) for state in self)
        return frozenset(key for key in every if key not in there)

    def watched(self, unit: str) -> int | None:
        """The pid whose use of the machine counts: of what serves, else of what starts."""
        living = [state for state in self.of(unit) if state.pid]
        best = max(living, key=lambda s: (s.stage == "serving", s.generation), default=None)
        return best.pid if best else None

    def _drop(self, state: Process) -> None:
        states = self._units.get(state.unit, {})
        states.pop(state.generation, None)
        if not states:
            self._units.pop(state.unit, None)
