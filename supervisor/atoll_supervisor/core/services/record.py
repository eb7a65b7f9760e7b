"""A service as the daemon remembers it, and as the API shows it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.order import Order
from atoll_supervisor.core.services.recipe import EngineName
from atoll_supervisor.core.services.showing import config_shown

Status = Literal["pending", "building", "starting", "running", "completed", "failed", "cancelled"]
FINAL: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})
GAUGE: Mapping[Status, int] = {
    "pending": 0,
    "building": 1,
    "starting": 1,
    "running": 2,
    "completed": 3,
    "failed": 4,
    "cancelled": 5,
}
"""The source system's numbers (seeds-contract.md 5.3); building is a part of its starting."""


class Job(Struct, frozen=True, kw_only=True):
    """A job of a cluster: `job_id` alone is no key, for SLURM hands numbers out again.

    `submitted` is in seconds since the epoch, 0 while SLURM has not told it.
    """

    cluster: str = ""
    job_id: str = ""
    submitted: float = 0.0


class Record(Struct, frozen=True, kw_only=True):
    """One service. Times in seconds since the epoch.

    `uuid` is what a job is known by beside its number. `key` is the API key the
    server was started with. `starting_since` is when it began to be up without
    answering, `up_since` when its process first ran. `last_end` is how it ended
    before somebody had it started again. `warnings` say what it gets less of than
    was asked for. `others` are uuids of its other starts, of which a job may be
    left that nobody wants.
    """

    id: str
    uuid: str
    name: str
    recipe_name: str
    engine: EngineName
    order: Order
    config: JsonObject
    created_at: str
    key: str
    group_id: str | None = None
    status: Status = "pending"
    reason: str = ""
    state: str = ""
    node: str = ""
    host: str = ""
    port: int | None = None
    restarts: int = 0
    starting_since: float | None = None
    up_since: float | None = None
    ended_at: str | None = None
    last_end: str = ""
    warnings: tuple[str, ...] = ()
    job: Job = Job()
    others: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in FINAL

    @property
    def job_id(self) -> str:
        """SLURM's number, for a local service its own id."""
        return self.job.job_id or self.id

    @property
    def url(self) -> str | None:
        """Where its server is reached; None once it is over, when another may be there."""
        if self.is_final or not (self.host and self.port):
            return None
        return f"http://{self.host}:{self.port}"


class ServiceRow(Struct, frozen=True, kw_only=True):
    """One service; times RFC 3339 with zone (DESIGN section 11)."""

    id: str
    name: str
    recipe_name: str
    status: Status
    engine: EngineName
    url: str | None
    port: int | None
    config: JsonObject
    created_at: str
    job_id: str
    node: str | None
    reason: str
    slurm_state: str | None
    group_id: str | None
    restarts: int
    ended_at: str | None
    last_end: str | None
    warnings: tuple[str, ...] = ()


class ServiceGroup(Struct, frozen=True, kw_only=True):
    """Replicas of one recipe, started together; `id` and `status` as of a service."""

    id: str
    name: str
    recipe_name: str
    status: Status
    engine: EngineName
    config: JsonObject
    created_at: str
    job_id: str
    group_id: str
    replicas: tuple[ServiceRow, ...]


Service = ServiceRow | ServiceGroup
"""What a service's id, or a group's, means."""


def rows_in(service: Service) -> tuple[ServiceRow, ...]:
    """The rows of a group, or the one row that it is."""
    return service.replicas if isinstance(service, ServiceGroup) else (service,)


class StatusAnswer(Struct, frozen=True, kw_only=True):
    """What `/api/v1/services/{id}/status` answers; null for what only SLURM has."""

    status: Status
    slurm_state: str | None
    job_id: str
    node: str | None
    reason: str
    engine: EngineName


def row_of(record: Record) -> ServiceRow:
    """The service as lists show it."""
    return ServiceRow(
        id=record.id,
        name=record.name,
        recipe_name=record.recipe_name,
        status=record.status,
        engine=record.engine,
        url=record.url,
        port=record.port,
        config=config_shown(record.config),
        created_at=record.created_at,
        job_id=record.job_id,
        node=record.node or None,
        reason=record.reason,
        slurm_state=record.state or None,
        group_id=record.group_id,
        restarts=record.restarts,
        ended_at=record.ended_at,
        last_end=record.last_end or None,
        warnings=record.warnings,
    )


_BEST: tuple[Status, ...] = (
    "running",
    "starting",
    "building",
    "pending",
    "failed",
    "completed",
    "cancelled",
)


def _best_of(records: tuple[Record, ...]) -> Status:
    there = {record.status for record in records}
    return next(status for status in _BEST if status in there)


def group_of(records: tuple[Record, ...]) -> ServiceGroup:
    """The group of these replicas, of which there is one at least: as good as its best one."""
    first = records[0]
    group = first.group_id or first.id
    return ServiceGroup(
        id=group,
        name=f"{first.name.rpartition('-')[0]}-{group}",
        recipe_name=first.recipe_name,
        status=_best_of(records),
        engine=first.engine,
        config=config_shown(first.config),
        created_at=first.created_at,
        job_id=group,
        group_id=group,
        replicas=tuple(map(row_of, records)),
    )


def status_of(row: Service) -> StatusAnswer:
    """The short answer that clients poll; of a group, that of its best replica."""
    if isinstance(row, ServiceGroup):
        best = min(row.replicas, key=lambda one: _BEST.index(one.status))
        return status_of(best)
    return StatusAnswer(
        status=row.status,
        slurm_state=row.slurm_state,
        job_id=row.job_id,
        node=row.node,
        reason=row.reason,
        engine=row.engine,
    )
