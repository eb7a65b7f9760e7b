"""Everything that can happen to a unit, in the past tense.

An event that concerns one process carries its generation; the machine ignores
it when the unit has no such process any more, which is how late timers and late
exits lose their power. The shell owes exactly one `Spawned` or `SpawnFailed` to each
`Spawn`, `Spawned` before anything else of that process, and one `Exited` to
each `Spawned`.
"""

from typing import assert_never

from msgspec import Struct

from atoll_supervisor.core.effects import Timer
from atoll_supervisor.core.spec import UnitSpec


class SpecAccepted(Struct, frozen=True):
    """A good manifest was read: the first one, a changed one, or a mended one."""

    spec: UnitSpec


class SpecBroken(Struct, frozen=True):
    """The manifest of this unit has a mistake; `problem` is for a person."""

    problem: str
    config_path: str


class Removed(Struct, frozen=True):
    """Nobody asks for the unit any more, and `why`."""

    why: str = "its folder was removed"


class StartAsked(Struct, frozen=True):
    """An operator wants it to run."""


class StopAsked(Struct, frozen=True):
    """An operator wants it not to run."""


class RestartAsked(Struct, frozen=True):
    """Somebody wants a new process; `cause` is who and why, for a person.

    One that is only being started is new enough, unless `anew` says that it is
    too old as well (it comes from a runtime that was replaced meanwhile).
    """

    cause: str = "restarted by an operator"
    anew: bool = False


class ClientWaits(Struct, frozen=True):
    """A client has connected to the unit's socket, and no process of it serves.

    Also what the shell sends for a sleeping unit whose port could not be held:
    the `Spawn` that follows fails and says why, and is tried again as any other.
    """


class Admitted(Struct, frozen=True):
    """The fleet gave a waiting unit its turn to start."""


class ShutDownBegun(Struct, frozen=True):
    """The daemon goes down; what the operator wants of the unit stays as it is."""


class OfProcess(Struct, frozen=True):
    """Base of the events that concern one process of the unit."""

    generation: int


class Spawned(OfProcess, frozen=True):
    """The process exists."""

    pid: int


class SpawnFailed(OfProcess, frozen=True):
    """No process could be made (or its port not be held); `reason` is for a person."""

    reason: str


class BecameReady(OfProcess, frozen=True):
    """The process said that it serves."""


class Exited(OfProcess, frozen=True):
    """The process ended: `code`, or the name of the `signal` that killed it.

    `reason` is what is known beyond those two, such as the last line of a
    traceback or "out of memory"; "" when there is nothing.
    """

    code: int | None = None
    signal: str | None = None
    reason: str = ""


class ProbePassed(OfProcess, frozen=True):
    """The process answered its probe."""


class ProbeFailed(OfProcess, frozen=True):
    """The process did not answer its probe in time, or wrongly."""

    reason: str


class WentSilent(OfProcess, frozen=True):
    """The process has sent no heartbeat for `seconds`: its loop hangs, or it is stopped."""

    seconds: float


class WasUsed(OfProcess, frozen=True):
    """The process had something to do at `at`, and is `busy` now or not.

    Sent only for a unit that may be put to sleep, when one of the two has changed.
    """

    at: float
    busy: bool


class IdleTimeElapsed(OfProcess, frozen=True):
    """The unit may have been idle for long enough to be put to sleep."""


class StartTimeElapsed(OfProcess, frozen=True):
    """The time to become ready is over."""


class SlotTimeElapsed(OfProcess, frozen=True):
    """A starting unit has had its turn; others may start beside it."""


class StabilityElapsed(OfProcess, frozen=True):
    """The unit has run for long enough to be forgiven its past."""


class ProbeTimeElapsed(OfProcess, frozen=True):
    """The next probe is due."""


class LeaveTimeElapsed(Struct, frozen=True):
    """The time to go is over for one of the processes that were told to."""


class BackoffElapsed(OfProcess, frozen=True):
    """The pause before the next start is over."""


Wish = StartAsked | StopAsked | RestartAsked | ShutDownBegun | ClientWaits
Manifest = SpecAccepted | SpecBroken | Removed
Process = Spawned | SpawnFailed | BecameReady | Exited
Health = (
    ProbePassed
    | ProbeFailed
    | WentSilent
    | WasUsed
    | ProbeTimeElapsed
    | StabilityElapsed
    | IdleTimeElapsed
)
Deadline = StartTimeElapsed | SlotTimeElapsed | LeaveTimeElapsed | BackoffElapsed
Event = Wish | Manifest | Admitted | Process | Health | Deadline

Elapsed = Deadline | ProbeTimeElapsed | StabilityElapsed | IdleTimeElapsed


def elapsed(timer: Timer, generation: int) -> Elapsed:
    """The event that a timer of a process becomes when its time has come."""
    match timer:
        case "start":
            return StartTimeElapsed(generation)
        case "slot":
            return SlotTimeElapsed(generation)
        case "stable":
            return StabilityElapsed(generation)
        case "probe":
            return ProbeTimeElapsed(generation)
        case "idle":
            return IdleTimeElapsed(generation)
        case "leave":
            return LeaveTimeElapsed()
        case "backoff":
            return BackoffElapsed(generation)
        case _:
            assert_never(timer)
