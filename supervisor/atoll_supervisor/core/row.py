"""A unit as the management API shows it (DESIGN section 7)."""

from typing import Literal

from msgspec import Struct

from atoll_supervisor.core.spec import Routing

Status = Literal["discovered", "starting", "running", "stopped", "failed"]
"""The source system's public words; `phase` is the exact one."""


class LastExit(Struct, frozen=True):
    """How the unit's last process ended; `at` is RFC 3339 with zone."""

    code: int | None
    signal: str | None
    reason: str
    at: str


class Row(Struct, frozen=True, kw_only=True):
    """One unit; times RFC 3339 with zone, sizes in bytes.

    `generation` is that of the process whose pid is shown. `limits` tells what
    enforces each of its `[resources]`. The last four are Flock's, of `GET /agents` only.
    """

    name: str
    slug: str
    status: Status
    phase: str
    reason: str
    port: int | None
    pid: int | None
    url: str | None
    model: str
    backend: str
    version: str
    description: str
    capabilities: tuple[str, ...]
    restarts: int
    started_at: str | None
    uptime_s: float | None
    last_exit: LastExit | None
    config_error: str | None
    cpu_percent: float | None
    rss_bytes: int | None
    in_flight: int | None
    config_path: str
    checksum: str
    generation: int
    instance_id: str | None
    limits: dict[str, str]
    input_schema: str | None = None
    output_schema: str | None = None
    hand_off: str | None = None
    routing: Routing | None = None
