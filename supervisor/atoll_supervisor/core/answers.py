"""What the management API answers, as the API writes it and the command line reads it."""

from typing import Literal

from msgspec import Struct

from atoll.errors import Who
from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.row import Row

Stream = Literal["stdout", "stderr"]


class RowList(Struct, frozen=True):
    """Every agent, sorted by slug."""

    agents: tuple[Row, ...]
    count: int


class EventList(Struct, frozen=True):
    """Events, oldest first."""

    events: tuple[Happening, ...]
    count: int


class ErrorBody(Struct, frozen=True):
    """What every error answers: a sentence, a stable code, and the side that must mend it."""

    detail: str
    code: str
    who: Who


class LogLine(Struct, frozen=True):
    """One line of an agent's output; `at` is RFC 3339 with zone, or null where none is known."""

    at: str | None
    stream: Stream
    line: str


class AgentCounts(Struct, frozen=True, kw_only=True):
    """How many agents there are, and how many in each public status."""

    total: int = 0
    discovered: int = 0
    starting: int = 0
    running: int = 0
    stopped: int = 0
    failed: int = 0


class Health(Struct, frozen=True, kw_only=True):
    """The source pages' fields and more; `uptime` in seconds, `timestamp` RFC 3339 with zone.

    A failed agent does not make the daemon unhealthy: `agents` tells of it. It is
    `degraded`, with a `reason`, while it supervises and cannot keep what it knows.
    """

    status: Literal["healthy", "degraded"] = "healthy"
    ok: bool = True
    reason: str = ""
    timestamp: str
    version: str
    uptime: float
    agents: AgentCounts
    pid: int
    instance_id: str


class Startup(Struct, frozen=True):
    """What `atoll up --json` prints when the fleet is up."""

    url: str
    pid: int
    agents: tuple[Row, ...]


class Reloaded(Struct, frozen=True):
    """The slugs of the agents that are being moved to a new runtime."""

    renewed: tuple[str, ...]


class Upgrading(Struct, frozen=True):
    """The instance that is going; the one after it has another id."""

    instance_id: str
