"""The phases a unit can be in, and the unit itself.

Each phase carries the data that only it can have, so that a unit that runs
without a process, or waits without a deadline, cannot be written down. All
times are monotonic seconds.

A process belongs to exactly one place: the phase (one that starts, one that
serves) or `Unit.leaving` (those that were told to go). Its generation is its
name; `Unit.generation` is the last one that was given out.
"""

from typing import Literal, assert_never

from msgspec import Struct

from atoll_supervisor.core.restarts import CLEAN, History
from atoll_supervisor.core.spec import Policy, UnitSpec

Then = Literal["rest", "start", "recover", "sleep", "forget"]
"""What follows a stop: nothing, a new start, a restart on the unit's account, sleep, removal."""


class Invalid(Struct, frozen=True):
    """The manifest is wrong and there is no earlier good one to run."""

    problem: str
    config_path: str


class Stopped(Struct, frozen=True):
    """No process, the socket closed, and nothing will start it by itself."""

    reason: str


class Asleep(Struct, frozen=True, tag=True):
    """No process, the socket held: the first client to come wakes it (scale to zero)."""

    since: float
    reason: str


class Waiting(Struct, frozen=True, tag=True):
    """To be started as soon as its dependencies and the start limit allow."""

    since: float
    reason: str


class Starting(Struct, frozen=True):
    """A process was asked for and is not ready yet.

    `pid` is None until the launch is confirmed. `early` tells that it counts
    towards the number of units that may start at once. `checksum` is that of the
    specification it was launched with.
    """

    generation: int
    since: float
    deadline: float
    pid: int | None = None
    early: bool = True
    checksum: str = ""


class Running(Struct, frozen=True):
    """The process said that it is ready; `misses` are failed probes in a row.

    `used` is when it last had something to do, `busy` whether it has now.
    `renew` is why it is to be replaced when its turn comes, "" when it is not;
    `note` is why its replacement failed. `checksum` as in `Starting`.
    """

    generation: int
    pid: int
    since: float
    misses: int = 0
    used: float = 0.0
    busy: bool = False
    renew: str = ""
    note: str = ""
    checksum: str = ""


class Replacing(Struct, frozen=True):
    """Make-before-break: `old` serves until `new` is ready on the same socket."""

    old: Running
    new: Starting


class Stopping(Struct, frozen=True):
    """Every process was told to go (see `Unit.leaving`); `then` follows when all are gone."""

    since: float
    then: Then
    reason: str


class Backoff(Struct, frozen=True, tag=True):
    """No process until `until`; then it is started again."""

    until: float
    reason: str


class Failed(Struct, frozen=True, tag=True):
    """The restart budget is spent; `retry_at` is None when the policy forbids a retry."""

    reason: str
    retry_at: float | None


Phase = (
    Invalid
    | Stopped
    | Asleep
    | Waiting
    | Starting
    | Running
    | Replacing
    | Stopping
    | Backoff
    | Failed
)

PhaseWord = Literal[
    "invalid",
    "stopped",
    "asleep",
    "starting",
    "running",
    "draining",
    "stopping",
    "backoff",
    "failed",
]


class Leaving(Struct, frozen=True):
    """A process that was told to go; at `deadline` its whole tree is killed (again).

    `pid` is None while the launch that was overtaken is not confirmed. `reason` is
    why it was told.
    """

    generation: int
    pid: int | None
    deadline: float
    killed: bool = False
    reason: str = ""


Process = Starting | Running | Leaving
"""One process of a unit, or its launch, by what it is there for."""


class Ended(Struct, frozen=True):
    """How the unit's last process ended, and when (monotonic seconds)."""

    code: int | None
    signal: str | None
    reason: str
    at: float


class Unit(Struct, frozen=True, kw_only=True):
    """One supervised unit.

    `spec` is the last good one, None when there never was any. `wanted` is the
    operator's wish and outlives the daemon. `restarts` counts the starts that
    nobody asked for. `config_error` is the problem of a newer, broken manifest.
    """

    slug: str
    phase: Phase = Stopped("discovered")
    leaving: tuple[Leaving, ...] = ()
    spec: UnitSpec | None = None
    wanted: bool = True
    generation: int = 0
    history: History = CLEAN
    restarts: int = 0
    ended: Ended | None = None
    config_error: str | None = None


def word_of(unit: Unit) -> PhaseWord:
    """The phase as the API shows it; waiting for a turn to start counts as starting.

    A unit that stops is draining until the first of its processes has to be killed.
    """
    match unit.phase:
        case Invalid():
            return "invalid"
        case Stopped():
            return "stopped"
        case Asleep():
            return "asleep"
        case Waiting() | Starting():
            return "starting"
        case Running() | Replacing():
            return "running"
        case Stopping():
            return "stopping" if any(one.killed for one in unit.leaving) else "draining"
        case Backoff():
            return "backoff"
        case Failed():
            return "failed"
        case _:
            assert_never(unit.phase)


def reason_of(phase: Phase) -> str:
    """Why the unit is where it is, in words for a person; "" when it just starts or runs."""
    match phase:
        case Invalid(problem=problem):
            return problem
        case Starting():
            return ""
        case Running():
            return phase.note or phase.renew
        case Replacing():
            return phase.old.renew
        case _:
            return phase.reason


def keeps_socket(phase: Phase) -> bool:
    """Whether clients that connect now are to wait for the unit rather than be refused."""
    match phase:
        case Invalid() | Stopped() | Failed(retry_at=None) | Stopping(then="rest" | "forget"):
            return False
        case _:
            return True


def is_live(unit: Unit) -> bool:
    """Whether a process of the unit exists or is being launched."""
    return bool(unit.leaving) or isinstance(unit.phase, Starting | Running | Replacing)


def serving(unit: Unit) -> Running | None:
    """The process that serves, also while its successor starts."""
    match unit.phase:
        case Running() as running:
            return running
        case Replacing(old=old):
            return old
        case _:
            return None


def processes(unit: Unit) -> tuple[Process, ...]:
    """Every process of the unit, those that leave first, then as they were launched."""
    match unit.phase:
        case Starting() | Running() as one:
            return (*unit.leaving, one)
        case Replacing(old=old, new=new):
            return (*unit.leaving, old, new)
        case _:
            return unit.leaving


def process_of(unit: Unit, generation: int) -> Process | None:
    """The unit's process of that generation, None when it has no such process any more."""
    return next((one for one in processes(unit) if one.generation == generation), None)


def shown(unit: Unit) -> Process | None:
    """The process that the lists show: what serves, else starts, else is being stopped.

    One that still answers its last requests after its successor came is not it.
    """
    match unit.phase:
        case Starting() | Running() as one:
            return one
        case Replacing(old=old):
            return old
        case Stopping():
            return unit.leaving[-1] if unit.leaving else None
        case _:
            return None


def pid_of(unit: Unit) -> int | None:
    """The pid that the lists show, None without a process or before it is known."""
    one = shown(unit)
    return one.pid if one else None


def generation_of(unit: Unit) -> int:
    """The generation that serves or starts, else the last one given out: it never falls."""
    match unit.phase:
        case Starting(generation=one) | Running(generation=one):
            return one
        case Replacing(old=old):
            return old.generation
        case _:
            return unit.generation


def policy_of(unit: Unit) -> Policy:
    """The unit's policy; the default one while nothing good was ever read."""
    return unit.spec.policy if unit.spec else Policy()
