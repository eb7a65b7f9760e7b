"""Which event leads a unit from which phase to which (DESIGN section 4).

Two rules. Everything that decides a unit's next phase is in this file; how the
move is made is in `moves`. This file knows no clock, no process and no other
unit: time comes in as `now` (monotonic seconds), luck as `jitter` (in [0, 1)),
and what has to be done goes out as effects.

How to read it: `step` drops what concerns an older process and hands the event
to its function, which names every phase it acts in and ignores it in the rest.
Two things follow from the change of phase alone and so cannot be forgotten:
the timers of the phase that was left are disarmed, and the socket is released
when nothing will serve it again by itself. A process is never abandoned: only
`Exited` and `SpawnFailed` lead out of stopping.
"""

from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import moves
from atoll_supervisor.core.causes import cause_of, ending_of
from atoll_supervisor.core.health import HUNG_GRACE, is_hung
from atoll_supervisor.core.moves import Step
from atoll_supervisor.core.phases import (
    Backoff,
    Ended,
    Failed,
    Invalid,
    Phase,
    Running,
    Starting,
    Stopped,
    Stopping,
    Then,
    Unit,
    Waiting,
    keeps_socket,
    policy_of,
    word_of,
)
from atoll_supervisor.core.restarts import CLEAN, STABLE_AFTER
from atoll_supervisor.core.spec import UnitSpec

TIMERS: dict[type[Phase], tuple[do.Timer, ...]] = {
    Starting: ("start", "slot"),
    Running: ("stable", "probe"),
    Stopping: ("stop",),
    Backoff: ("backoff",),
    Failed: ("backoff",),
}
"""The timers each phase may have armed."""


def step(unit: Unit, event: ev.Event, now: float, jitter: float) -> Step:
    """Answer one event: the unit as it is now, and what has to be done, in order."""
    if isinstance(event, ev.OfProcess) and event.generation != unit.generation:
        return unit, ()
    after, effects = _answer(unit, event, now, jitter)
    return after, (*_consequences(unit, after, event), *effects)


def _answer(unit: Unit, event: ev.Event, now: float, jitter: float) -> Step:
    if isinstance(event, ev.Wish):
        return _on_wish(unit, event, now)
    if isinstance(event, ev.Manifest):
        return _on_manifest(unit, event, now)
    if isinstance(event, ev.Admitted):
        return moves.start(unit, now) if isinstance(unit.phase, Waiting) else (unit, ())
    if isinstance(event, ev.Process):
        return _on_process(unit, event, now, jitter)
    if isinstance(event, ev.Health):
        return _on_health(unit, event, now, jitter)
    return _on_deadline(unit, event, now)


def _consequences(before: Unit, after: Unit, event: ev.Event) -> tuple[do.Effect, ...]:
    """What the change of phase itself asks for."""
    effects: list[do.Effect] = []
    if type(before.phase) is not type(after.phase):
        effects += [do.Disarm(timer) for timer in TIMERS.get(type(before.phase), ())]
    if keeps_socket(before.phase) and not keeps_socket(after.phase):
        effects.append(do.ReleaseSocket())
    was, word = word_of(before.phase), word_of(after.phase)
    told = (before.ended, before.config_error) == (after.ended, after.config_error)
    if was != word or not told:
        effects.append(do.Record(was, word, cause_of(event, after), after.generation))
    return tuple(effects)


# What an operator, or the daemon's own end, asks for.


def _on_wish(unit: Unit, event: ev.Wish, now: float) -> Step:
    match event:
        case ev.StartAsked():
            return _on_start_asked(replace(unit, wanted=True, history=CLEAN), now)
        case ev.RestartAsked():
            return _on_restart_asked(replace(unit, wanted=True, history=CLEAN), now)
        case ev.StopAsked():
            return _to_rest(replace(unit, wanted=False), "rest", "stopped by an operator", now)
        case ev.ShutDownBegun():
            return _to_rest(unit, "rest", "the daemon went down", now)
        case _:
            assert_never(event)


def _on_start_asked(unit: Unit, now: float) -> Step:
    if unit.spec is None:  # nothing good to run was ever read
        return unit, ()
    match unit.phase:
        case Stopped() | Backoff() | Failed():
            return moves.wait(unit, now, "started by an operator")
        case Stopping(then="rest" | "recover"):
            return moves.redirect(unit, unit.phase, "start", "started by an operator"), ()
        case Invalid() | Waiting() | Starting() | Running() | Stopping():
            return unit, ()
        case _:
            assert_never(unit.phase)


def _on_restart_asked(unit: Unit, now: float) -> Step:
    if isinstance(unit.phase, Starting | Running):
        return moves.terminate(unit, unit.phase, "start", "restarted by an operator", now)
    return _on_start_asked(unit, now)


def _to_rest(unit: Unit, then: Then, reason: str, now: float) -> Step:
    """End whatever the unit does; `then` is "rest" or "forget"."""
    match unit.phase:
        case Invalid() if then == "rest":
            return unit, ()
        case Invalid() | Stopped() | Waiting() | Backoff() | Failed():
            forget = (do.Forget(),) if then == "forget" else ()
            return replace(unit, phase=Stopped(reason)), forget
        case Starting() | Running():
            return moves.terminate(unit, unit.phase, then, reason, now)
        case Stopping(then="forget"):
            return unit, ()
        case Stopping():
            return moves.redirect(unit, unit.phase, then, reason), ()
        case _:
            assert_never(unit.phase)


# What became of the manifest.


def _on_manifest(unit: Unit, event: ev.Manifest, now: float) -> Step:
    match event:
        case ev.SpecAccepted(spec=spec):
            return _on_spec_accepted(unit, spec, now)
        case ev.SpecBroken():
            return _on_spec_broken(unit, event), ()
        case ev.Removed():
            return _to_rest(unit, "forget", "its folder was removed", now)
        case _:
            assert_never(event)


def _on_spec_accepted(unit: Unit, spec: UnitSpec, now: float) -> Step:
    """A changed manifest begins a clean history; an unchanged one only ends a complaint."""
    known = replace(unit, spec=spec, config_error=None)
    if unit.spec is not None and unit.spec.checksum == spec.checksum:
        return _kept(known), ()
    return _on_spec_changed(replace(known, history=CLEAN), now)


def _on_spec_changed(unit: Unit, now: float) -> Step:
    match unit.phase:
        case Invalid() | Stopped() if not unit.wanted:
            return replace(unit, phase=Stopped("stopped by an operator")), ()
        case Invalid() | Stopped() | Backoff() | Failed():
            return moves.wait(unit, now, "its manifest was read")
        case Starting() | Running():
            return moves.terminate(unit, unit.phase, "start", "its manifest changed", now)
        case Stopping(then="recover"):
            return moves.redirect(unit, unit.phase, "start", "its manifest changed"), ()
        case Waiting() | Stopping():
            return _kept(unit), ()
        case _:
            assert_never(unit.phase)


def _on_spec_broken(unit: Unit, event: ev.SpecBroken) -> Unit:
    """Only a unit that has nothing good to run becomes invalid."""
    unit = replace(unit, config_error=event.problem)
    if unit.spec is None:
        return replace(unit, phase=Invalid(event.problem, event.config_path))
    return _kept(unit)


def _kept(unit: Unit) -> Unit:
    """A folder that came back while its unit was on the way out keeps the unit."""
    match unit.phase:
        case Stopping(then="forget"):
            then: Then = "start" if unit.wanted else "rest"
            return moves.redirect(unit, unit.phase, then, "its folder came back")
        case _:
            return unit


# What the process did.


def _on_process(unit: Unit, event: ev.Process, now: float, jitter: float) -> Step:
    match event, unit.phase:
        case ev.Spawned(pid=pid), Starting(pid=None) as phase:
            return replace(unit, phase=replace(phase, pid=pid)), ()
        case ev.Spawned(pid=pid), Stopping(pid=None) as phase:
            return _on_late_spawned(unit, replace(phase, pid=pid), now)
        case ev.BecameReady(), Starting(pid=int(pid)):
            return moves.run(unit, pid, now, jitter)
        case ev.SpawnFailed() as end, (Starting(pid=None) | Stopping(pid=None)):
            return _on_ended(unit, end, now, jitter)
        case ev.Exited() as end, _:
            return _on_ended(unit, end, now, jitter)
        case ev.Spawned() | ev.SpawnFailed() | ev.BecameReady(), _:
            return unit, ()
        case _:
            assert_never(event)


def _on_late_spawned(unit: Unit, phase: Stopping, now: float) -> Step:
    """A launch that a stop has overtaken is ended as soon as there is something to end."""
    end = do.Kill if now >= phase.deadline else do.Terminate
    return replace(unit, phase=phase), (end(unit.generation),)


def _on_ended(unit: Unit, event: ev.SpawnFailed | ev.Exited, now: float, jitter: float) -> Step:
    ended = ending_of(event, unit, now)
    gone = replace(unit, ended=ended)
    match unit.phase:
        case Running() if _is_finished(unit, ended):
            return replace(gone, phase=Stopped("finished with exit code 0")), ()
        case Starting() | Running():
            return moves.after_failure(gone, ended.reason, now, jitter)
        case Stopping():
            return moves.after_stop(gone, unit.phase, now, jitter)
        case Invalid() | Stopped() | Waiting() | Backoff() | Failed():
            return unit, ()
        case _:
            assert_never(unit.phase)


def _is_finished(unit: Unit, ended: Ended) -> bool:
    """Whether it served, then ended by itself and well, and may stay down.

    A SIGTERM that was not ours is no good end: clients would be refused.
    """
    return ended.code == 0 and policy_of(unit).restart != "always"


# What its health is.


def _on_health(unit: Unit, event: ev.Health, now: float, jitter: float) -> Step:
    match event, unit.phase:
        case ev.ProbeTimeElapsed(), Running():
            return unit, (do.Probe(unit.generation),)
        case ev.ProbePassed(), Running() as phase:
            healthy = replace(unit, phase=replace(phase, misses=0))
            return healthy, (moves.arm_probe(unit, 0, now, jitter),)
        case ev.ProbeFailed(reason=reason), Running() as phase:
            return _on_miss(unit, phase, reason, now, jitter)
        case ev.StabilityElapsed(), Running(misses=0):
            return replace(unit, history=CLEAN), ()
        case ev.StabilityElapsed(), Running():
            return unit, (do.Arm("stable", now + STABLE_AFTER, unit.generation),)
        case _:
            return unit, ()


def _on_miss(unit: Unit, phase: Running, reason: str, now: float, jitter: float) -> Step:
    misses = phase.misses + 1
    if not is_hung(misses, policy_of(unit).probe_failures):
        doubtful = replace(unit, phase=replace(phase, misses=misses))
        return doubtful, (moves.arm_probe(unit, misses, now, jitter),)
    why = f"it did not answer {misses} probes in a row: {reason}"
    return moves.terminate(unit, phase, "recover", why, now, HUNG_GRACE)


# What time it is.


def _on_deadline(unit: Unit, event: ev.Deadline, now: float) -> Step:
    match event, unit.phase:
        case ev.StartTimeElapsed(), Starting() as phase:
            return moves.kill_start(unit, phase, now)
        case ev.SlotTimeElapsed(), Starting() as phase:
            return replace(unit, phase=replace(phase, early=False)), ()
        case ev.StopTimeElapsed(), Stopping() as phase:
            return moves.kill(unit, phase, now)
        case ev.BackoffElapsed(), Backoff(reason=reason):
            return moves.wait(unit, now, reason)
        case ev.BackoffElapsed(), Failed(reason=reason, retry_at=float()):
            return moves.wait(unit, now, reason)
        case _:
            return unit, ()
