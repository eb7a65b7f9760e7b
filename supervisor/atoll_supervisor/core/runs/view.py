"""A run as clients see it: Flock's six fields, and what else is known."""

from datetime import UTC, datetime
from typing import assert_never

from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.core.runs.records import (
    Asking,
    Cancelled,
    Choosing,
    Completed,
    Failed,
    Final,
    Kind,
    Phase,
    Run,
    Starting,
    Status,
)

MOST_SHOWN = 20
"""Agents of a path that are named; of a longer one both ends."""


class RunBody(Struct, frozen=True, kw_only=True):
    """The run object of the source page, and after its fields ours.

    Times are RFC 3339 in UTC. `reason` is a stable word for a failure. `path` are the
    agents that have finished a step, in order.
    """

    run_id: str
    status: Status
    result: JsonObject | None
    started_at: str
    completed_at: str | None
    error: str | None
    reason: str | None
    agent_name: str
    kind: Kind
    path: tuple[str, ...]
    batch_id: str | None


class RunRow(Struct, frozen=True, kw_only=True):
    """A run in a list: without what went in and what came out."""

    run_id: str
    status: Status
    started_at: str
    completed_at: str | None
    error: str | None
    reason: str | None
    agent_name: str
    kind: Kind
    steps: int
    batch_id: str | None


def body_of(run: Run) -> RunBody:
    """The run object."""
    phase = run.phase
    ended = ended_at(phase)
    return RunBody(
        run_id=run.plan.run_id,
        status=status_of(phase),
        result=phase.result if isinstance(phase, Completed) else None,
        started_at=rfc3339(run.plan.accepted),
        completed_at=None if ended is None else rfc3339(ended),
        error=error_of(phase),
        reason=phase.reason if isinstance(phase, Failed) else None,
        agent_name=run.plan.agent,
        kind=run.plan.kind,
        path=path_of(run),
        batch_id=run.plan.batch or None,
    )


def row_of(run: Run) -> RunRow:
    """The run in a list."""
    body = body_of(run)
    return RunRow(
        run_id=body.run_id,
        status=body.status,
        started_at=body.started_at,
        completed_at=body.completed_at,
        error=body.error,
        reason=body.reason,
        agent_name=body.agent_name,
        kind=body.kind,
        steps=len(run.steps),
        batch_id=body.batch_id,
    )


def status_of(phase: Phase) -> Status:
    """The public word."""
    match phase:
        case Starting():
            return "starting"
        case Asking() | Choosing():
            return "running"
        case Completed():
            return "completed"
        case Failed():
            return "failed"
        case Cancelled():
            return "cancelled"
        case _:
            assert_never(phase)


def ended_at(phase: Phase) -> float | None:
    """When it ended, in seconds since the epoch."""
    return phase.at if isinstance(phase, Final) else None


def error_of(phase: Phase) -> str | None:
    """Why there is no result, for people."""
    match phase:
        case Failed(error=error):
            return error
        case Cancelled():
            return "the run was cancelled"
        case _:
            return None


def path_of(run: Run) -> tuple[str, ...]:
    """The agents of the finished steps."""
    return tuple(step.agent for step in run.steps)


def shown_path(slugs: tuple[str, ...]) -> str:
    """`a -> b -> a`; the middle of a long one is left out."""
    if len(slugs) <= MOST_SHOWN:
        return " -> ".join(slugs)
    half = MOST_SHOWN // 2
    return " -> ".join((*slugs[:half], "…", *slugs[-half:]))


def rfc3339(epoch: float) -> str:
    """`2025-02-25T01:23:45.678Z`."""
    moment = datetime.fromtimestamp(epoch, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
