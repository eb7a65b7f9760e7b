"""`/health`: is this process all right; `/ready`: should work be sent to it.

One answer for all source pages (seeds-contract.md section 6). It is 200 as long
as the process itself works: a supervisor must not restart an agent because its
model's server is down.
"""

import os
from datetime import UTC, datetime
from typing import Literal

from litestar import Request, Response, get
from litestar.datastructures import State
from msgspec import Struct

from atoll import __version__
from atoll.http.access import agent_of
from atoll.loop.agent import Agent

AnyRequest = Request[object, object, State]


class HealthAnswer(Struct, frozen=True):
    """`uptime` in seconds; `reason` says what is degraded, "" when nothing is."""

    status: Literal["healthy", "degraded"]
    ok: bool
    reason: str
    timestamp: datetime
    version: str
    sessions: int
    uptime: float
    agent: str
    pid: int
    instance_id: str


@get("/health")
async def health(request: AnyRequest) -> HealthAnswer:
    """The process and its back end."""
    return await _health(agent_of(request.app))


@get("/ready")
async def ready(request: AnyRequest) -> Response[HealthAnswer]:
    """The same, with 503 when a turn would fail."""
    answer = await _health(agent_of(request.app))
    return Response(answer, status_code=200 if answer.ok else 503)


async def _health(agent: Agent) -> HealthAnswer:
    back_end = await agent.health()
    now = datetime.now(UTC)
    return HealthAnswer(
        status="healthy" if back_end.ok else "degraded",
        ok=back_end.ok,
        reason=back_end.reason,
        timestamp=now,
        version=__version__,
        sessions=agent.sessions.count(),
        uptime=max(0.0, now.timestamp() - agent.started_at),
        agent=agent.name,
        pid=os.getpid(),
        instance_id=agent.identity.instance_id,
    )
