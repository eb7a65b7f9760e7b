"""Everything the machine can ask the shell to do.

Effects of one step are performed in their order. None of them is awaited:
what comes of them comes back as an event.
"""

from typing import Literal

from msgspec import Struct

from atoll_supervisor.core.phases import Ended, PhaseWord

Timer = Literal["start", "slot", "stable", "probe", "idle", "leave", "backoff"]


class Spawn(Struct, frozen=True):
    """Launch the unit's process of this generation; answer `Spawned` or `SpawnFailed`."""

    generation: int


class Terminate(Struct, frozen=True):
    """Ask the process to drain and go (SIGTERM)."""

    generation: int


class Kill(Struct, frozen=True):
    """End the process and everything it started (SIGKILL); may be asked for again."""

    generation: int


class Probe(Struct, frozen=True):
    """Ask the process whether it still answers; `ProbePassed` or `ProbeFailed` follows."""

    generation: int


class HoldSocket(Struct, frozen=True):
    """Bind and hold a socket on the unit's port as it is now assigned, unless that is held.

    A port that cannot be bound makes the `Spawn` that follows a `SpawnFailed`, and
    the `WatchSocket` that follows a `ClientWaits`.
    """


class ReleaseSocket(Struct, frozen=True):
    """Close the unit's listening socket if it is held; its port stays reserved."""


class WatchSocket(Struct, frozen=True):
    """Send one `ClientWaits` when a client connects to the held socket, or waits there already."""


class Arm(Struct, frozen=True):
    """Send `elapsed(timer, generation)` at `at`; replaces the unit's timer of that name."""

    timer: Timer
    at: float
    generation: int


class Disarm(Struct, frozen=True):
    """Cancel the unit's timer of that name; one that is not armed is no error."""

    timer: Timer


class Record(Struct, frozen=True, kw_only=True):
    """Write into the journal what changed and why; `before` and `after` are phase words.

    `pid` is of the process that the lists show afterwards. `ended` is how a
    process ended, None when none did just now.
    """

    before: PhaseWord
    after: PhaseWord
    cause: str
    generation: int
    pid: int | None = None
    restarts: int = 0
    ended: Ended | None = None


class Forget(Struct, frozen=True):
    """The unit is gone from the fleet; give up what is kept for it."""


Effect = (
    Spawn
    | Terminate
    | Kill
    | Probe
    | HoldSocket
    | ReleaseSocket
    | WatchSocket
    | Arm
    | Disarm
    | Record
    | Forget
)
