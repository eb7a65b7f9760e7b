"""Many runs that were asked for together, as clients ask for them and see them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject, JsonValue
from atoll_supervisor.core.runs.records import Batch, Completed, Run
from atoll_supervisor.core.runs.view import ended_at, error_of, rfc3339


class BatchBody(Struct, frozen=True, kw_only=True):
    """A batch; `results` and `run_ids` have one place for each item, in their order.

    A result is null where there is none yet; both are null where the run was deleted.
    """

    batch_id: str
    status: Literal["starting", "running", "completed", "failed"]
    results: list[JsonValue]
    total_items: int
    completed_items: int
    failed_items: int
    progress_percentage: float
    started_at: str
    completed_at: str | None
    error: str | None
    run_ids: list[str | None]


def item_inputs(
    row: JsonObject, mapping: Mapping[str, str] | None, static: JsonObject
) -> JsonObject:
    """One item's inputs: its own, of which a mapping names and picks, and those of every item."""
    own = row if mapping is None else {mapping[key]: row[key] for key in row if key in mapping}
    return {**static, **own}


def batch_body(batch: Batch, runs: Sequence[Run]) -> BatchBody:
    """The batch as it is now; what was deleted of it counts as done."""
    each = {run.plan.item: run for run in runs}
    items = [each.get(item) for item in range(batch.items)]
    over = [run for run in runs if run.is_final]
    failed = [run for run in over if not isinstance(run.phase, Completed)]
    done = batch.items - (len(runs) - len(over))
    is_over = done == batch.items
    errors = [] if batch.return_errors else failed
    ends = [ended_at(run.phase) or 0.0 for run in over]
    return BatchBody(
        batch_id=batch.batch_id,
        status=_status(is_over=is_over, begun=done > 0, failed=bool(errors)),
        results=[_result(run, batch.return_errors) for run in items],
        total_items=batch.items,
        completed_items=done,
        failed_items=len(failed),
        progress_percentage=round(100 * done / batch.items, 1),
        started_at=rfc3339(batch.accepted),
        completed_at=rfc3339(max(ends, default=batch.accepted)) if is_over else None,
        error=_error(errors, len(runs)) if is_over else None,
        run_ids=[None if run is None else run.plan.run_id for run in items],
    )


def _status(
    *, is_over: bool, begun: bool, failed: bool
) -> Literal["starting", "running", "completed", "failed"]:
    if not is_over:
        return "running" if begun else "starting"
    return "failed" if failed else "completed"


def _result(run: Run | None, return_errors: bool) -> JsonValue:
    if run is None:
        return None
    if isinstance(run.phase, Completed):
        return run.phase.result
    return {"error": error_of(run.phase)} if run.is_final and return_errors else None


def _error(failed: Sequence[Run], total: int) -> str | None:
    if not failed:
        return None
    first = failed[0]
    return f"{len(failed)} of {total} runs failed; item {first.plan.item}: {error_of(first.phase)}"
