"""What the daemon is told to keep running: a unit's specification and its restart policy.

Values only. A specification is made from a manifest (or from the daemon's own
settings, for a model host) above this layer; nothing here reads a file.
"""

from typing import Literal

from msgspec import Struct

Restart = Literal["always", "on-failure", "never"]
Kind = Literal["agent", "model_host", "service"]


ANY_TIME = 1e9
"""The `start_timeout`, in seconds, of a unit that starts when a cluster's queue lets it."""


class Policy(Struct, frozen=True, kw_only=True):
    """How a unit is kept running; times in seconds (DESIGN section 4 and `[deployment]`).

    `restart_delay` is the first back-off; None means the usual one. A probe
    counts as failed after `probe_failures` failures in a row. `idle_timeout` 0 means
    that it never sleeps. `overlap` tells whether two processes of the unit may
    live side by side while one takes over from the other.
    """

    restart: Restart = "on-failure"
    max_restarts: int = 5
    restart_window: float = 60.0
    restart_delay: float | None = None
    start_timeout: float = 60.0
    stop_timeout: float = 30.0
    probe_interval: float = 30.0
    probe_failures: int = 3
    idle_timeout: float = 0.0
    overlap: bool = True


class Routing(Struct, frozen=True):
    """How an agent of a workflow hands off, where that is not simply to `hand_off`.

    A model chooses among `choices` (names); below `threshold`, 0 to 1, nobody goes on.
    `match` gives the next agent fields of this result alone, `add` all that is known.
    """

    choices: tuple[str, ...] = ()
    threshold: float = 0.5
    merge: Literal["match", "add"] = "match"


class Card(Struct, frozen=True, kw_only=True):
    """What the lists show of a unit beside its state; decides nothing.

    `model` and `backend` are what the manifest asks for; what the agent really
    chose comes with an observation of the running process.
    """

    version: str = ""
    description: str = ""
    capabilities: tuple[str, ...] = ()
    model: str = ""
    backend: str = ""
    input_schema: str | None = None
    output_schema: str | None = None
    hand_off: str | None = None
    routing: Routing | None = None


class UnitSpec(Struct, frozen=True, kw_only=True):
    """One unit as its owner wants it.

    `fixed_port` 0 means a sticky automatic port. A model host listens on a
    unix socket and is given no port. `depends_on` holds slugs of units that
    are started first and stopped last. Two specifications with the same
    `checksum` need no restart between them.
    """

    slug: str
    name: str
    checksum: str
    kind: Kind = "agent"
    config_path: str = ""
    fixed_port: int = 0
    depends_on: tuple[str, ...] = ()
    policy: Policy = Policy()
    card: Card = Card()
