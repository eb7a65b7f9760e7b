"""What a unit's health leads to: probes, heartbeats, stability, idleness.

Only the process that serves has a health. It is never judged by what its back
end does: an agent whose model is away answers its probes and says so itself.
"""

from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core import causes, moves
from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.health import HUNG_GRACE, is_hung
from atoll_supervisor.core.moves import Step
from atoll_supervisor.core.phases import Replacing, Running, Stopping, Unit, policy_of
from atoll_supervisor.core.restarts import CLEAN, STABLE_AFTER


def on_health(unit: Unit, one: Running, event: ev.Health, now: float, jitter: float) -> Step:
    """Answer what was seen of `one`, the process that serves."""
    match event:
        case ev.ProbeTimeElapsed():
            return unit, (do.Probe(one.generation),)
        case ev.ProbePassed():
            return _probed(unit, replace(one, misses=0), now, jitter)
        case ev.ProbeFailed(reason=reason):
            return _on_miss(unit, replace(one, misses=one.misses + 1), reason, now, jitter)
        case ev.WentSilent(seconds=seconds):
            return _on_hung(unit, one, causes.silent(seconds), now, jitter)
        case ev.StabilityElapsed() if one.misses == 0:
            return replace(unit, history=CLEAN), ()
        case ev.StabilityElapsed():
            return unit, (do.Arm("stable", now + STABLE_AFTER, one.generation),)
        case ev.WasUsed(at=at, busy=busy):
            used = now if busy or one.busy else max(one.used, at)
            return _placed(unit, replace(one, used=used, busy=busy)), ()
        case ev.IdleTimeElapsed():
            return _on_idle_time(unit, one, now)
        case _:
            assert_never(event)


def _probed(unit: Unit, one: Running, now: float, jitter: float) -> Step:
    return _placed(unit, one), (moves.arm_probe(unit, one, now, jitter),)


def _on_miss(unit: Unit, one: Running, reason: str, now: float, jitter: float) -> Step:
    if not is_hung(one.misses, policy_of(unit).probe_failures):
        return _probed(unit, one, now, jitter)
    return _on_hung(unit, one, causes.unanswered(one.misses, reason), now, jitter)


def _on_hung(unit: Unit, one: Running, reason: str, now: float, jitter: float) -> Step:
    """It serves nobody: its successor does not wait for its death, if two may be."""
    unit, farewell = moves.part(unit, one, reason, now, HUNG_GRACE)
    if moves.must_be_alone(unit) and not isinstance(unit.phase, Replacing):
        return replace(unit, phase=Stopping(now, "recover", reason)), farewell
    unit, effects = moves.after_loss(unit, reason, now, jitter)
    return unit, (*farewell, *effects)


def _on_idle_time(unit: Unit, one: Running, now: float) -> Step:
    """To sleep, unless it works, has worked meanwhile, or is being replaced."""
    timeout = policy_of(unit).idle_timeout
    if not timeout:
        return unit, ()
    works = one.busy or isinstance(unit.phase, Replacing)
    at = now + timeout if works else one.used + timeout
    if at > now:
        return unit, (do.Arm("idle", at, one.generation),)
    return moves.stop(unit, "sleep", causes.idle(timeout), now)


def _placed(unit: Unit, one: Running) -> Unit:
    """The process that serves, back in its place."""
    phase = unit.phase
    return replace(unit, phase=replace(phase, old=one) if isinstance(phase, Replacing) else one)
