"""`/health`: is this process all right; `/ready`: should work be sent to it.

One answer for all source pages (seeds-contract.md section 6). It is 200 as long
as the process itself works: a supervisor must not restart an agent because its
model's server is down.
"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Literal

from litestar import Request, Response, get
from litestar.datastructures import State
from msgspec import Struct
from msgspec.structs import asdict

from atoll import __version__
from atoll.errors import AtollError
from atoll.http.access import agent_of
from atoll.loop.agent import Agent

AnyRequest = Request[object, object, State]

_COUNT_LIMIT = 1.0
"""Seconds the count of the sessions may take; a busy disk must not look like a dead agent."""


class HealthAnswer(Struct, frozen=True):
    """`uptime` in seconds; `reason` says what is degraded, "" when nothing is.

    `in_flight` and `queued` are turns. Sessions that cannot be counted degrade
    the agent but leave it `ok`: turns pass without them.
    """

    status: Literal["healthy", "degraded"]
    ok: bool
    reason: str
    timestamp: datetime
    version: str
    sessions: int
    in_flight: int
    queued: int
    uptime: float
    agent: str
    pid: int
    instance_id: str


class ReadyAnswer(HealthAnswer, frozen=True):
    """fleet-rlm's fields beside; its planner is the model, which every agent has."""

    ready: bool
    planner_configured: bool = True


@get("/health")
async def health(request: AnyRequest) -> HealthAnswer:
    """The process and its back end."""
    return await _health(agent_of(request.app))


@get("/ready")
async def ready(request: AnyRequest) -> Response[ReadyAnswer]:
    """The same, with 503 when a turn would fail."""
    answer = await _health(agent_of(request.app))
    told = ReadyAnswer(**asdict(answer), ready=answer.ok)
    return Response(told, status_code=200 if answer.ok else 503)


async def _health(agent: Agent) -> HealthAnswer:
    back_end = await agent.health()
    sessions = await _sessions(agent)
    reason = back_end.reason or ("its sessions cannot be counted" if sessions is None else "")
    return HealthAnswer(
        status="degraded" if reason else "healthy",
        ok=back_end.ok,
        reason=reason,
        timestamp=datetime.now(UTC),
        version=__version__,
        sessions=sessions or 0,
        in_flight=agent.in_flight,
        queued=agent.queued,
        uptime=agent.uptime,
        agent=agent.name,
        pid=os.getpid(),
        instance_id=agent.identity.instance_id,
    )


async def _sessions(agent: Agent) -> int | None:
    """How many are alive, None when the store does not say."""
    try:
        async with asyncio.timeout(_COUNT_LIMIT):
            return await agent.sessions.count()
    except (AtollError, TimeoutError):
        return None
