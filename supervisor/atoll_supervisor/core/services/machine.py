"""The states of a service: pure, `step(record, evidence, now) -> (record, stop)`.

The words are the source page's; the rules are seeds-contract.md 5.3 and DESIGN
section 11: running only while the server answers, back to starting with a
reason when it does not, failed when that lasts longer than its start limit, and
nothing after completed, failed or cancelled.
"""

from datetime import UTC, datetime
from typing import assert_never

from msgspec.structs import replace

from atoll_supervisor.core.services.evidence import (
    Building,
    Ended,
    Evidence,
    Kept,
    Queued,
    Tick,
    Up,
)
from atoll_supervisor.core.services.record import Job, Record

SILENT = "its server does not answer"
MINUTE = 60.0

Step = tuple[Record, bool]
"""The record as it is now, and whether the engine has to end what still runs of it."""


def step(record: Record, evidence: Evidence, now: float) -> Step:
    """Answer what was seen; `now` in seconds since the epoch."""
    if record.is_final:
        return _after_its_end(record, evidence), False
    match evidence:
        case Queued(reason=reason, state=state):
            return _unplaced(record, reason, state), False
        case Building(state=state):
            # Its start limit is for what comes after.
            built = replace(record, status="building", reason="", starting_since=None)
            return replace(built, state=state), False
        case Up():
            return _on_up(record, evidence, now)
        case Kept(state=state):
            return replace(record, state=state), False
        case Ended():
            return _ended(record, evidence, now), False
        case Tick():
            return _on_time(record, now)
        case _:
            assert_never(evidence)


def cancelled(record: Record, now: float) -> Record:
    """A person ended it; one that is over stays what it is."""
    if record.is_final:
        return record
    return _ended(record, Ended("cancelled", "stopped by a user", record.state), now)


def begun_again(record: Record, uuid: str) -> Record:
    """Started anew by a person; what it was before is remembered, and counts for nothing.

    A new `uuid`, for a job that is over may be listed for a while beside the new one.
    """
    return replace(
        _unplaced(record, "", ""),
        uuid=uuid,
        port=None,
        restarts=0,
        ended_at=None,
        last_end=_last_end(record),
        others=(*record.others, record.uuid),
        job=Job(),
    )


def _last_end(record: Record) -> str:
    was = f"{record.status}: {record.reason}" if record.reason else record.status
    return was if record.is_final else f"started again by a user while {was}"


def _after_its_end(record: Record, evidence: Evidence) -> Record:
    """Its job may still be on its way out, which SLURM's own word tells."""
    return replace(record, state=evidence.state) if isinstance(evidence, Kept) else record


def _unplaced(record: Record, reason: str, state: str) -> Record:
    """It waits (again): where it was, it is no more."""
    return replace(
        record,
        status="pending",
        reason=reason,
        state=state,
        node="",
        host="",
        starting_since=None,
        up_since=None,
    )


def _on_up(record: Record, seen: Up, now: float) -> Step:
    placed = replace(
        record,
        state=seen.state,
        node=seen.node or record.node,
        host=seen.host or record.host,
        port=seen.port or record.port,
        restarts=seen.restarts,
        up_since=record.up_since or now,
    )
    if seen.answers:
        return _on_time(replace(placed, status="running", reason="", starting_since=None), now)
    reason = seen.reason or (SILENT if record.status == "running" else record.reason)
    since = record.starting_since if record.starting_since is not None else now
    starting = replace(placed, status="starting", reason=reason, starting_since=since)
    return _on_time(starting, now)


def _on_time(record: Record, now: float) -> Step:
    """Its start limit, and on this machine its time limit: SLURM sees to its own."""
    limit, since = record.order.start_limit, record.starting_since
    if since is not None and now - since > limit:
        why = f": {record.reason}" if record.reason else ""
        return _failed(record, f"it did not answer within {limit:g} s{why}", now), True
    minutes, up = record.order.resources.time_limit, record.up_since
    if record.engine == "local" and minutes and up is not None and now - up > minutes * MINUTE:
        return _failed(record, f"its time limit of {_minutes(minutes)} is over", now), True
    return record, False


def _minutes(number: int) -> str:
    return "1 minute" if number == 1 else f"{number} minutes"


def _failed(record: Record, reason: str, now: float) -> Record:
    return _ended(record, Ended("failed", reason, record.state), now)


def _ended(record: Record, seen: Ended, now: float) -> Record:
    return replace(
        record,
        status=seen.status,
        reason=seen.reason,
        state=seen.state,
        ended_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        starting_since=None,
    )
