"""What happened to a process, read off two states that the keeper told of it.

A state may have jumped over others: the daemon was busy, stopped, or not there.
Whatever must lie between the two is told in the order of a process's life.
"""

from collections.abc import Iterator

from atoll_supervisor.core import events as ev
from atoll_supervisor.keeper.protocol import Process


def unheard(state: Process) -> Process:
    """A process of which nothing has been told yet."""
    return Process(state.unit, state.generation)


def taken_over(state: Process) -> Process:
    """A process as the core knows it once it is taken over: its end and its silence are news."""
    if state.stage == "gone":
        return state._replace(stage="serving" if was_ready(state) else "starting")
    return state._replace(silent=0.0)


def was_ready(state: Process) -> bool:
    """Whether it serves, or did before it went: only who serves has a heartbeat."""
    return state.stage == "serving" or (state.stage == "gone" and state.channel)


def news(was: Process, now: Process, *, use: bool) -> Iterator[ev.Event]:
    """The events between two states of one process; `use` asks also for `WasUsed`."""
    generation = now.generation
    if now.pid and not was.pid:
        yield ev.Spawned(generation, now.pid)
    if was_ready(now) and not was_ready(was):
        yield ev.BecameReady(generation)
    if now.stage == "gone":
        yield _end(now)
        return
    if now.silent and not was.silent:
        yield ev.WentSilent(generation, now.silent)
    if use and used(was) != used(now):
        yield used(now)


def used(state: Process) -> ev.WasUsed:
    """When it last had something to do, and whether it has now."""
    return ev.WasUsed(state.generation, state.active, state.in_flight > 0)


def _end(now: Process) -> ev.Event:
    if not now.pid:
        return ev.SpawnFailed(now.generation, now.reason)
    return ev.Exited(now.generation, now.code, now.signal, now.reason)
