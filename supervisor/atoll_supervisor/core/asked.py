"""What operators, clients, manifests and the daemon's own end ask of a unit."""

from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core import moves
from atoll_supervisor.core.causes import CAME_BACK, EDITED
from atoll_supervisor.core.moves import Step
from atoll_supervisor.core.phases import (
    Asleep,
    Backoff,
    Failed,
    Invalid,
    Replacing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Then,
    Unit,
    Waiting,
    policy_of,
    serving,
)
from atoll_supervisor.core.restarts import CLEAN
from atoll_supervisor.core.spec import UnitSpec


def on_wish(unit: Unit, event: ev.Wish, now: float) -> Step:
    """Answer an operator, a client, or the daemon that goes down."""
    match event:
        case ev.StartAsked():
            return _on_start_asked(replace(unit, wanted=True, history=CLEAN), now)
        case ev.RestartAsked():
            return _on_restart_asked(replace(unit, wanted=True, history=CLEAN), event, now)
        case ev.StopAsked():
            return _to_rest(replace(unit, wanted=False), "rest", "stopped by an operator", now)
        case ev.ShutDownBegun():
            return _to_rest(unit, "rest", "the daemon went down", now)
        case ev.ClientWaits():
            is_asleep = isinstance(unit.phase, Asleep)
            return moves.wait(unit, now, "a client came") if is_asleep else (unit, ())
        case _:
            assert_never(event)


def _on_start_asked(unit: Unit, now: float, reason: str = "started by an operator") -> Step:
    if unit.spec is None:  # nothing good to run was ever read
        return unit, ()
    match unit.phase:
        case Stopped() | Asleep() | Backoff() | Failed():
            return moves.wait(unit, now, reason)
        case Stopping(then="rest" | "recover" | "sleep"):
            return moves.redirect(unit, unit.phase, "start", reason), ()
        case Invalid() | Waiting() | Starting() | Running() | Replacing() | Stopping():
            return unit, ()
        case _:
            assert_never(unit.phase)


def _on_restart_asked(unit: Unit, event: ev.RestartAsked, now: float) -> Step:
    """One that is under way is enough, but must not end with an edit that is taken back."""
    match unit.phase:
        case Running(renew=""):
            return moves.renew(unit, unit.phase, event.cause, now)
        case Running(renew=cause) as phase if cause == EDITED:
            return replace(unit, phase=replace(phase, renew=event.cause)), ()
        case Starting() if event.anew:
            return _start_over(unit, unit.phase, event.cause, now)
        case Replacing() if event.anew:
            return _replace_over(unit, unit.phase, event.cause, now)
        case Replacing(old=Running(renew=cause) as old) as phase if cause == EDITED:
            return replace(unit, phase=replace(phase, old=replace(old, renew=event.cause))), ()
        case _:
            return _on_start_asked(unit, now, event.cause)


def _start_over(unit: Unit, phase: Starting, cause: str, now: float) -> Step:
    """What is being started is out of date: a newer one waits its turn."""
    unit, effects = moves.cut(unit, phase, cause, now)
    if moves.must_be_alone(unit):
        return replace(unit, phase=Stopping(now, "start", cause)), effects
    return replace(unit, phase=Waiting(now, cause)), effects


def _replace_over(unit: Unit, phase: Replacing, cause: str, now: float) -> Step:
    """The successor is out of date: what serves goes on until a newer one is ready."""
    unit, effects = moves.cut(unit, phase.new, cause, now)
    unit, more = moves.renew(replace(unit, phase=phase.old), phase.old, cause, now)
    return unit, effects + more


def _to_rest(unit: Unit, then: Then, reason: str, now: float) -> Step:
    """End whatever the unit does; `then` is "rest" or "forget"."""
    match unit.phase:
        case Invalid() if then == "rest":
            return unit, ()
        case Stopping(then="forget"):
            return unit, ()
        case Stopping():
            return moves.redirect(unit, unit.phase, then, reason), ()
        case _:
            return moves.stop(unit, then, reason, now)


# What became of the manifest.


def on_manifest(unit: Unit, event: ev.Manifest, now: float) -> Step:
    """Answer what was found on disk."""
    match event:
        case ev.SpecAccepted(spec=spec):
            return _on_spec_accepted(unit, spec, now)
        case ev.SpecBroken():
            return _on_spec_broken(unit, event)
        case ev.Removed(why=why):
            return _to_rest(unit, "forget", why, now)
        case _:
            assert_never(event)


def _on_spec_accepted(unit: Unit, spec: UnitSpec, now: float) -> Step:
    """A changed manifest begins a clean history; an unchanged one only ends a complaint.

    What only the daemon acts on is no part of the checksum, and changes it all the same.
    """
    old = unit.spec
    same = old is not None and (old.checksum, old.policy) == (spec.checksum, spec.policy)
    history = unit.history if same else CLEAN
    idle = policy_of(unit).idle_timeout
    unit = replace(unit, spec=spec, config_error=None, history=history)
    match unit.phase:
        case Starting() | Running() | Replacing():
            unit, effects = _on_spec_of_live(unit, spec, now)
            return unit, (*effects, *_idle_anew(unit, idle, now))
        case Stopping(then="forget"):
            return _kept(unit), ()
        case _:
            return (unit, ()) if same else _on_spec_changed(unit, now)


def _idle_anew(unit: Unit, before: float, now: float) -> tuple[do.Effect, ...]:
    """An idle time that was changed counts from now on, also for what serves already."""
    serves, idle = serving(unit), policy_of(unit).idle_timeout
    if serves is None or not idle or idle == before:
        return ()
    return (do.Arm("idle", now + idle, serves.generation),)


def _on_spec_of_live(unit: Unit, spec: UnitSpec, now: float) -> Step:
    """Each process is judged by the manifest that it was launched with."""
    match unit.phase:
        case Starting(checksum=launched) if launched != spec.checksum:
            return _start_over(unit, unit.phase, EDITED, now)
        case Running(checksum=launched) as phase if launched != spec.checksum:
            return moves.renew(unit, replace(phase, note=""), phase.renew or EDITED, now)
        case Running(renew=cause) as phase if cause == EDITED or phase.note:
            return replace(unit, phase=replace(phase, renew="", note="")), ()
        case Replacing(new=Starting(checksum=launched)) if launched != spec.checksum:
            return _on_spec_of_successor(unit, unit.phase, spec, now)
        case _:
            return unit, ()


def _on_spec_of_successor(unit: Unit, phase: Replacing, spec: UnitSpec, now: float) -> Step:
    """An edit that was taken back needs no successor."""
    if phase.old.checksum != spec.checksum or phase.old.renew != EDITED:
        return _replace_over(unit, phase, phase.old.renew, now)
    unit, effects = moves.cut(unit, phase.new, "its manifest was changed back", now)
    return replace(unit, phase=replace(phase.old, renew="", note="")), effects


def _on_spec_changed(unit: Unit, now: float) -> Step:
    """The manifest is another one, and no process of the unit serves or starts."""
    match unit.phase:
        case Invalid() | Stopped() if not unit.wanted:
            return replace(unit, phase=Stopped("stopped by an operator")), (do.ReleaseSocket(),)
        case Invalid() | Stopped() if policy_of(unit).idle_timeout:
            return moves.sleep(unit, now, "no client yet")
        case Asleep() if policy_of(unit).idle_timeout:
            return unit, (do.HoldSocket(), do.WatchSocket())  # its port may be another one now
        case Invalid() | Stopped() | Asleep() | Backoff() | Failed():
            return moves.wait(unit, now, "its manifest was read")
        case Stopping(then="recover"):
            return moves.redirect(unit, unit.phase, "start", EDITED), ()
        case Stopping(then="sleep") if not policy_of(unit).idle_timeout:
            return moves.redirect(unit, unit.phase, "start", EDITED), ()
        case _:
            return unit, ()


def _on_spec_broken(unit: Unit, event: ev.SpecBroken) -> Step:
    """Only a unit that has nothing good to run becomes invalid."""
    unit = replace(unit, config_error=event.problem)
    if unit.spec is None:
        invalid = Invalid(event.problem, event.config_path)
        return replace(unit, phase=invalid), (do.ReleaseSocket(),)
    return _kept(unit), ()


def _kept(unit: Unit) -> Unit:
    """A folder that came back while its unit was on the way out keeps the unit."""
    match unit.phase:
        case Stopping(then="forget"):
            return moves.redirect(unit, unit.phase, _when_kept(unit), CAME_BACK)
        case _:
            return unit


def _when_kept(unit: Unit) -> Then:
    if not unit.wanted:
        return "rest"
    return "sleep" if policy_of(unit).idle_timeout else "start"
