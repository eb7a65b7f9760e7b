"""Which event leads a unit from which phase to which (DESIGN section 4).

Two rules. Everything that decides a unit's next phase is in this file and the
two it hands on to: `asked` (operators and manifests) and `vitals` (health); how
the move is made is in `moves`. Nothing here knows a clock, a process or another
unit: time comes in as `now` (monotonic seconds), luck as `jitter` (in [0, 1)),
and what has to be done goes out as effects.

How to read it: `step` drops what concerns a process that the unit has no more
and hands the event to its function, which names every phase it acts in and
ignores it in the rest. What follows from the state alone cannot be forgotten,
because `step` sees to it: a stop ends when nothing is leaving any more, the
timers of what is gone are disarmed, the socket is released when nothing will
serve it again by itself, and what changed is recorded once. A process is never
abandoned: only `Exited` and `SpawnFailed` take it out of the unit.
"""

from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core import asked, moves, vitals
from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.causes import LATE, cause_of, ending_of
from atoll_supervisor.core.moves import Step
from atoll_supervisor.core.phases import (
    Backoff,
    Ended,
    Failed,
    Leaving,
    Process,
    Replacing,
    Running,
    Starting,
    Stopping,
    Unit,
    Waiting,
    generation_of,
    keeps_socket,
    pid_of,
    policy_of,
    process_of,
    serving,
    word_of,
)


def step(unit: Unit, event: ev.Event, now: float, jitter: float) -> Step:
    """Answer one event: the unit as it is now, and what has to be done, in order."""
    if isinstance(event, ev.OfProcess):
        after, effects = _on_its_process(unit, event, now, jitter)
    else:
        after, effects = _on_unit(unit, event, now)
    if isinstance(after.phase, Stopping) and not after.leaving:
        after, more = moves.after_stop(after, after.phase, now, jitter)
        effects += more
    after = _without_old_complaint(unit, after)
    if after is unit and not effects:
        return unit, ()
    return after, (*_consequences(unit, after, event), *effects)


def _on_unit(unit: Unit, event: ev.Event, now: float) -> Step:
    if isinstance(event, ev.Wish):
        return asked.on_wish(unit, event, now)
    if isinstance(event, ev.Manifest):
        return asked.on_manifest(unit, event, now)
    if isinstance(event, ev.LeaveTimeElapsed):
        return moves.kill_overdue(unit, now) if unit.leaving else (unit, ())
    return moves.start(unit, now) if is_due(unit) else (unit, ())


def is_due(unit: Unit) -> bool:
    """Whether the unit is to be given its turn to start as soon as the fleet has room."""
    match unit.phase:
        case Waiting():
            return moves.may_launch(unit)
        case Running(renew=cause):
            return bool(cause) and moves.may_launch(unit)
        case _:
            return False


# What follows from the state alone.


def timers_of(unit: Unit) -> dict[do.Timer, int]:
    """The timers that the unit may have armed, but for "leave", and for which process."""
    match unit.phase:
        case Starting(generation=new):
            return {"start": new, "slot": new}
        case Running(generation=old):
            return {"stable": old, "probe": old, "idle": old}
        case Replacing(old=Running(generation=old), new=Starting(generation=new)):
            return {"stable": old, "probe": old, "idle": old, "start": new, "slot": new}
        case Backoff() | Failed():
            return {"backoff": unit.generation}
        case _:
            return {}


def _consequences(before: Unit, after: Unit, event: ev.Event) -> tuple[do.Effect, ...]:
    effects: list[do.Effect] = []
    if before.phase is not after.phase:
        kept = timers_of(after)
        for timer, of in timers_of(before).items():
            if kept.get(timer) != of:
                effects.append(do.Disarm(timer))
        if keeps_socket(before.phase) and not keeps_socket(after.phase):
            effects.append(do.ReleaseSocket())
    effects += leave_timer(before, after, again=isinstance(event, ev.LeaveTimeElapsed))
    if _is_news(before, after):
        effects.append(_record(before, after, event))
    return tuple(effects)


def leave_timer(before: Unit, after: Unit, *, again: bool = False) -> tuple[do.Effect, ...]:
    """Arm the earliest deadline of those that leave; `again` when the timer has just rung."""
    was, due = _earliest(before.leaving), _earliest(after.leaving)
    if due is None:
        return (do.Disarm("leave"),) if was else ()
    if was == due and not again:
        return ()
    return (do.Arm("leave", due.deadline, due.generation),)


def _earliest(leaving: tuple[Leaving, ...]) -> Leaving | None:
    return min(leaving, key=lambda one: one.deadline, default=None)


def _is_news(before: Unit, after: Unit) -> bool:
    """Whether the lists show another word, problem, end or serving process than before."""
    was, now = serving(before), serving(after)
    handed_over = was and now and (was.generation, was.note) != (now.generation, now.note)
    return bool(
        word_of(before) != word_of(after)
        or before.config_error != after.config_error
        or before.ended is not after.ended
        or handed_over
    )


def _record(before: Unit, after: Unit, event: ev.Event) -> do.Record:
    return do.Record(
        before=word_of(before),
        after=word_of(after),
        cause=cause_of(event, before, after),
        generation=generation_of(after),
        pid=pid_of(after),
        restarts=after.restarts,
        ended=after.ended if after.ended is not before.ended else None,
    )


def _without_old_complaint(before: Unit, after: Unit) -> Unit:
    """A manifest is complained of for a successor that failed only while the old one serves."""
    was, now = serving(before), serving(after)
    note = was.note if was else ""
    if not note or after.config_error != note or (now and now.note == note):
        return after
    return replace(after, config_error=None)


# What the unit's processes did.


def _on_its_process(unit: Unit, event: ev.OfProcess, now: float, jitter: float) -> Step:
    if isinstance(event, ev.BackoffElapsed):
        return _on_backoff_elapsed(unit, event, now)
    one = process_of(unit, event.generation)
    if one is None:
        return unit, ()
    match event, one:
        case ev.Spawned(pid=pid), (Starting(pid=None) | Leaving(pid=None)):
            return _on_spawned(unit, one, pid, now)
        case ev.BecameReady(), Starting(pid=int(pid)):
            return moves.run(unit, one, pid, now, jitter)
        case ev.SpawnFailed(), (Starting(pid=None) | Leaving(pid=None)):
            return _on_ended(unit, one, ending_of(event, one, now), now, jitter)
        case ev.Exited(), _:
            return _on_ended(unit, one, ending_of(event, one, now), now, jitter)
        case ev.StartTimeElapsed(), Starting():
            return _on_late(unit, one, now, jitter)
        case ev.SlotTimeElapsed(), Starting():
            return _placed(unit, replace(one, early=False)), ()
        case _, Running() if isinstance(event, ev.Health):
            return vitals.on_health(unit, one, event, now, jitter)
        case _:
            return unit, ()


def _on_backoff_elapsed(unit: Unit, event: ev.BackoffElapsed, now: float) -> Step:
    match unit.phase:
        case Backoff(reason=reason) | Failed(reason=reason, retry_at=float()):
            is_its_own = event.generation == unit.generation
            return moves.wait(unit, now, reason) if is_its_own else (unit, ())
        case _:
            return unit, ()


def _on_spawned(unit: Unit, one: Starting | Leaving, pid: int, now: float) -> Step:
    """A launch that a stop has overtaken is ended as soon as there is something to end."""
    if isinstance(one, Starting):
        return _placed(unit, replace(one, pid=pid)), ()
    leaving = tuple(replace(it, pid=pid) if it is one else it for it in unit.leaving)
    end = do.Kill if one.killed or now >= one.deadline else do.Terminate
    return replace(unit, leaving=leaving), (end(one.generation),)


def _placed(unit: Unit, new: Starting) -> Unit:
    """The process that starts, back in its place."""
    phase = unit.phase
    return replace(unit, phase=replace(phase, new=new) if isinstance(phase, Replacing) else new)


def _on_ended(unit: Unit, one: Process, ended: Ended, now: float, jitter: float) -> Step:
    gone = replace(unit, ended=ended)
    match one:
        case Leaving():
            return replace(gone, leaving=tuple(it for it in unit.leaving if it is not one)), ()
        case Starting():
            return _on_start_failed(gone, ended.reason, now, jitter)
        case Running() if unit.phase is one and _is_finished(unit, one, ended):
            return replace(gone, phase=Stopping(now, "rest", "finished with exit code 0")), ()
        case Running():
            return moves.after_loss(gone, ended.reason, now, jitter)
        case _:
            assert_never(one)


def _is_finished(unit: Unit, one: Running, ended: Ended) -> bool:
    """Whether it served, then ended by itself and well, and may stay down.

    A SIGTERM that was not ours is no good end: clients would be refused.
    """
    return ended.code == 0 and not one.renew and policy_of(unit).restart != "always"


def _on_late(unit: Unit, one: Starting, now: float, jitter: float) -> Step:
    """It took too long to be ready; nothing is gained by waiting for its death."""
    unit, effects = moves.cut(unit, one, LATE, now)
    unit, more = _on_start_failed(unit, LATE, now, jitter)
    return unit, effects + more


def _on_start_failed(unit: Unit, reason: str, now: float, jitter: float) -> Step:
    """What was being started will not serve, whether it is gone already or still leaving."""
    if isinstance(unit.phase, Replacing):
        return moves.keep_old(unit, unit.phase.old, reason), ()
    if moves.must_be_alone(unit):
        return replace(unit, phase=Stopping(now, "recover", reason)), ()
    return moves.after_failure(unit, reason, now, jitter)
