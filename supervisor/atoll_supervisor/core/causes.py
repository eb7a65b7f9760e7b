"""The words that answer "why did it restart": events told for a person."""

from atoll_supervisor.core import events as ev
from atoll_supervisor.core.phases import Ended, Starting, Stopping, Unit

_CAUSES: dict[type[ev.Event], str] = {
    ev.SpecAccepted: "its manifest was read",
    ev.Removed: "its folder was removed",
    ev.StartAsked: "an operator asked for a start",
    ev.StopAsked: "an operator asked for a stop",
    ev.RestartAsked: "an operator asked for a restart",
    ev.ShutDownBegun: "the daemon is going down",
    ev.Admitted: "it was its turn",
    ev.BecameReady: "it is ready",
    ev.StartTimeElapsed: "start-timeout",
}


def cause_of(event: ev.Event, after: Unit) -> str:
    """Why the unit became `after`, in words for a person."""
    match event:
        case ev.SpecBroken(problem=problem):
            return problem
        case ev.SpawnFailed() | ev.Exited():
            return after.ended.reason if after.ended else ""
        case ev.ProbeFailed(reason=reason):
            return f"it does not answer: {reason}"
        case _:
            return _CAUSES.get(type(event), "its time had come")


def ending_of(event: ev.SpawnFailed | ev.Exited, unit: Unit, now: float) -> Ended:
    """How the process of this unit ended at `now`, told by what had been asked of it."""
    if isinstance(event, ev.SpawnFailed):
        return Ended(None, None, event.reason, now)
    reason = _how(event)
    match unit.phase:
        case Stopping(reason=asked):
            reason = asked if event.signal != "SIGKILL" else f"{asked} (killed)"
        case Starting() if not event.reason:
            reason = f"ended before it was ready: {reason}"
        case _:
            pass
    return Ended(event.code, event.signal, reason, now)


def _how(event: ev.Exited) -> str:
    """The signal first, then what else is known; the code says least."""
    if event.signal:
        return ": ".join(filter(None, (f"killed by {event.signal}", event.reason)))
    return event.reason if event.code and event.reason else f"exit code {event.code}"
