"""From what the keeper tells of processes to what the core takes over (`core.adopt`)."""

from collections.abc import Iterable

import msgspec

from atoll_supervisor.core.adopt import Memory, Survivor, memory_of
from atoll_supervisor.core.phases import Unit
from atoll_supervisor.keeper.protocol import Process, State
from atoll_supervisor.loop.news import was_ready

Survivors = dict[str, tuple[Survivor, ...]]


def memo_of(unit: Unit) -> str:
    """What a launch of the unit carries for the daemon after this one."""
    return msgspec.json.encode(memory_of(unit)).decode()


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
        memory=_memory(state.memo),
    )


def _memory(memo: str) -> Memory:
    """What the launch carried; one of another version that cannot be read is as good as none."""
    try:
        return msgspec.json.decode(memo, type=Memory)
    except msgspec.MsgspecError:
        return Memory()
