"""How much recorded work may be under way or wait, so that strangers cannot fill the memory."""

from collections.abc import Sequence

import msgspec

from atoll.errors import Busy, ClientError
from atoll_supervisor.core.runs.records import Plan

MOST_RUNS = 20_000
MOST_BYTES = 256 * 1024 * 1024
"""Bytes of their inputs as JSON; as Python objects they are several times as much."""
_encode = msgspec.json.Encoder().encode


class Room:
    """Counts what is there; taken before a run is kept, so that no two requests share it."""

    def __init__(self, most_runs: int = MOST_RUNS, most_bytes: int = MOST_BYTES) -> None:
        self._most_runs = most_runs
        self._most_bytes = most_bytes
        self._sizes: dict[str, int] = {}
        self._bytes = 0

    def take(self, plans: Sequence[Plan]) -> None:
        """Make room for all of these, or raise Busy; ClientError for inputs too deep to be kept."""
        if len(self._sizes) + len(plans) > self._most_runs:
            raise Busy(f"{len(self._sizes)} runs are under way or wait; ask again later")
        sizes = _sizes(plans)
        if self._bytes + sum(sizes.values()) > self._most_bytes:
            mib = self._bytes >> 20
            raise Busy(f"the runs that are under way or wait hold {mib} MiB; ask again later")
        self._add(sizes)

    def keep(self, plan: Plan) -> None:
        """One that was accepted before has its place, whatever there is."""
        self._add(_sizes([plan]))

    def leave(self, *plans: Plan) -> None:
        """They have ended, or were never accepted."""
        self._bytes -= sum(self._sizes.pop(plan.run_id, 0) for plan in plans)

    def _add(self, sizes: dict[str, int]) -> None:
        self._sizes |= sizes
        self._bytes += sum(sizes.values())


def _sizes(plans: Sequence[Plan]) -> dict[str, int]:
    """Bytes of the inputs; raises ClientError for those that could be read but not be written."""
    try:
        return {plan.run_id: len(_encode(plan.inputs)) for plan in plans}
    except RecursionError:
        raise ClientError("the inputs are nested too deeply") from None
