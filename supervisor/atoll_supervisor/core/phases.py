"""The phases a unit can be in, and the unit itself.

Each phase carries the data that only it can have, so that a unit that runs
without a process, or waits without a deadline, cannot be written down. All
times are monotonic seconds. The generation stands in the unit alone: it names
the unit's newest process, and grows by one with each start.
"""

from typing import Literal, assert_never

from msgspec import Struct

from atoll_supervisor.core.restarts import CLEAN, History
from atoll_supervisor.core.spec import Policy, UnitSpec

Then = Literal["rest", "start", "recover", "forget"]
"""What follows a stop: nothing, a new start, a restart on the unit's account, removal."""


class Invalid(Struct, frozen=True):
    """The manifest is wrong and there is no earlier good one to run."""

    problem: str
    config_path: str


class Stopped(Struct, frozen=True):
    """No process, the socket closed, and nothing will start it by itself."""

    reason: str


class Waiting(Struct, frozen=True):
    """To be started as soon as its dependencies and the start limit allow."""

    since: float
    reason: str


class Starting(Struct, frozen=True):
    """A process was asked for and is not ready yet.

    `pid` is None until the launch is confirmed. `early` tells that it counts
    towards the number of units that may start at once.
    """

    since: float
    deadline: float
    pid: int | None = None
    early: bool = True


class Running(Struct, frozen=True):
    """The process said that it is ready; `misses` are failed probes in a row."""

    pid: int
    since: float
    misses: int = 0


class Stopping(Struct, frozen=True):
    """The process was told to go; at `deadline` its whole tree is killed.

    `pid` is None while the launch that was overtaken is not confirmed.
    """

    pid: int | None
    since: float
    deadline: float
    then: Then
    reason: str


class Backoff(Struct, frozen=True):
    """No process until `until`; then it is started again."""

    until: float
    reason: str


class Failed(Struct, frozen=True):
    """The restart budget is spent; `retry_at` is None when the policy forbids a retry."""

    reason: str
    retry_at: float | None


Phase = Invalid | Stopped | Waiting | Starting | Running | Stopping | Backoff | Failed
Live = Starting | Running | Stopping
"""The phases that own exactly one process (or one launch under way)."""

PhaseWord = Literal["invalid", "stopped", "starting", "running", "stopping", "backoff", "failed"]


def word_of(phase: Phase) -> PhaseWord:
    """The phase as the API shows it; waiting for a turn to start counts as starting."""
    match phase:
        case Invalid():
            return "invalid"
        case Stopped():
            return "stopped"
        case Waiting() | Starting():
            return "starting"
        case Running():
            return "running"
        case Stopping():
            return "stopping"
        case Backoff():
            return "backoff"
        case Failed():
            return "failed"
        case _:
            assert_never(phase)


def reason_of(phase: Phase) -> str:
    """Why the unit is where it is, in words for a person; "" when it just starts or runs."""
    match phase:
        case Invalid(problem=problem):
            return problem
        case Starting() | Running():
            return ""
        case _:
            return phase.reason


def keeps_socket(phase: Phase) -> bool:
    """Whether clients that connect now are to wait for the unit rather than be refused."""
    match phase:
        case Invalid() | Stopped() | Failed(retry_at=None) | Stopping(then="rest" | "forget"):
            return False
        case _:
            return True


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
    spec: UnitSpec | None = None
    wanted: bool = True
    generation: int = 0
    history: History = CLEAN
    restarts: int = 0
    ended: Ended | None = None
    config_error: str | None = None


def is_live(unit: Unit) -> bool:
    """Whether a process of the unit exists or is being launched."""
    return isinstance(unit.phase, Live)


def pid_of(unit: Unit) -> int | None:
    """The pid of the unit's process, None when there is none (yet)."""
    return unit.phase.pid if isinstance(unit.phase, Live) else None


def policy_of(unit: Unit) -> Policy:
    """The unit's policy; the default one while nothing good was ever read."""
    return unit.spec.policy if unit.spec else Policy()
