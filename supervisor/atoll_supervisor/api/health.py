"""`GET /health`: is the daemon itself working."""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from litestar import get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct

from atoll_supervisor.api.agents import AnyFleet
from atoll_supervisor.api.auth import PUBLIC
from atoll_supervisor.api.events import AnyEvents
from atoll_supervisor.core.answers import AgentCounts, Health
from atoll_supervisor.core.row import Row
from atoll_supervisor.ports import Events, Fleet, Services

AnyServices = NamedDependency[SkipValidation[Services]]


class About(Struct, frozen=True):
    """This daemon: its version, and an id that is new with every process."""

    version: str
    instance_id: str


@get("/health", opt=PUBLIC, operation_id="health", tags=["daemon"], sync_to_thread=False)
def health(
    fleet: AnyFleet, events: AnyEvents, services: AnyServices, about: NamedDependency[About]
) -> Health:
    """The daemon's health: 200 as long as the daemon itself works.

    `degraded` while the disk refuses what the daemon has to remember.
    """
    return health_of(fleet, events, services, about)


def health_of(fleet: Fleet, events: Events, services: Services, about: About) -> Health:
    """The answer of every path that asks for the daemon's health."""
    faults = (fleet.degraded, events.degraded, services.degraded)
    reason = "; ".join(filter(None, faults))
    return Health(
        status="degraded" if reason else "healthy",
        ok=not reason,
        reason=reason,
        timestamp=datetime.now(UTC).isoformat(),
        version=about.version,
        uptime=round(fleet.uptime, 3),
        agents=_count(fleet.rows()),
        pid=os.getpid(),
        instance_id=about.instance_id,
    )


def _count(rows: Sequence[Row]) -> AgentCounts:
    counts = Counter(row.status for row in rows)
    return AgentCounts(
        total=len(rows),
        discovered=counts["discovered"],
        starting=counts["starting"],
        running=counts["running"],
        stopped=counts["stopped"],
        failed=counts["failed"],
    )
