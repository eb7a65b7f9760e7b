"""The words that answer "why did it restart": events told for a person."""

from atoll_supervisor.core import events as ev
from atoll_supervisor.core.phases import (
    Ended,
    Leaving,
    Process,
    Replacing,
    Running,
    Starting,
    Unit,
    policy_of,
    serving,
)

EDITED = "its manifest changed"
CAME_BACK = "its folder came back"
LATE = "start-timeout"

_CAUSES: dict[type[ev.Event], str] = {
    ev.SpecAccepted: "its manifest was read",
    ev.StartAsked: "an operator asked for a start",
    ev.StopAsked: "an operator asked for a stop",
    ev.ShutDownBegun: "the daemon is going down",
    ev.ClientWaits: "a client came",
    ev.Admitted: "it was its turn",
    ev.BecameReady: "it is ready",
    ev.StartTimeElapsed: LATE,
    ev.LeaveTimeElapsed: "it did not go in time and is killed",
}


def cause_of(event: ev.Event, before: Unit, after: Unit) -> str:
    """Why `before` became `after`, in words for a person."""
    match event:
        case ev.SpecBroken(problem=problem):
            return problem
        case ev.SpecAccepted() if before.config_error and after.config_error is None:
            return "its manifest is good again"
        case ev.SpecAccepted(spec=spec) if before.spec and before.spec.checksum != spec.checksum:
            return EDITED
        case ev.RestartAsked(cause=cause) | ev.Removed(why=cause):
            return cause
        case ev.BecameReady() if isinstance(before.phase, Replacing):
            return handed_over(before.phase)
        case ev.SpawnFailed() | ev.Exited():
            return _of_end(before, after)
        case ev.ProbeFailed(reason=reason):
            return unanswered(policy_of(before).probe_failures, reason)
        case ev.WentSilent(seconds=seconds):
            return silent(seconds)
        case ev.IdleTimeElapsed():
            return idle(policy_of(before).idle_timeout)
        case _:
            return _CAUSES.get(type(event), "its time had come")


def handed_over(phase: Replacing) -> str:
    """A replacement that succeeded."""
    new, old = phase.new.generation, phase.old.generation
    return f"{phase.old.renew}: process {new} serves, process {old} drains"


def not_started(reason: str) -> str:
    """A replacement that failed."""
    return f"the new process did not start: {reason}; the previous one goes on serving"


def unanswered(misses: int, reason: str) -> str:
    """A unit that missed its probes."""
    return f"it did not answer {misses} probes in a row: {reason}"


def silent(seconds: float) -> str:
    """A unit whose heart stopped."""
    return f"no heartbeat for {seconds:.3g} s"


def idle(seconds: float) -> str:
    """A unit that is put to sleep."""
    return f"idle for {seconds:g} s"


def ending_of(event: ev.SpawnFailed | ev.Exited, one: Process, now: float) -> Ended:
    """How this process ended at `now`, told by what had been asked of it."""
    if isinstance(event, ev.SpawnFailed):
        return Ended(None, None, event.reason or "it could not be started", now)
    reason = _how(event)
    match one:
        case Leaving(reason=asked):
            reason = f"{asked} ({event.reason or 'killed'})" if event.signal == "SIGKILL" else asked
        case Starting() if not event.reason:
            reason = f"ended before it was ready: {reason}"
        case Starting() if event.signal is None:  # its complaint says all
            reason = event.reason
        case Starting() | Running():
            pass
    return Ended(event.code, event.signal, reason, now)


def _of_end(before: Unit, after: Unit) -> str:
    """The end itself, and what it means when it was that of a successor."""
    running = serving(after)
    if isinstance(before.phase, Replacing) and running and running.note:
        return running.note
    return after.ended.reason if after.ended else ""


def _how(event: ev.Exited) -> str:
    """The signal or the code first, then what else is known: of a good end, nothing matters."""
    if event.code == 0:
        return "exit code 0"
    if event.code is None and event.signal is None:
        return event.reason or "ended unseen"
    how = f"killed by {event.signal}" if event.signal else f"exit code {event.code}"
    return ": ".join(filter(None, (how, event.reason)))
