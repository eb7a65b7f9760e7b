"""A batch as clients see it: what belongs to a row stands at the row's place."""

from msgspec.structs import replace

from atoll_supervisor.core.runs.batches import batch_body
from atoll_supervisor.core.runs.records import Batch, Completed, Progress, Run
from tests.fakes.roles import plan

BATCH = Batch(agent="a", batch_id="b", accepted=0.0, items=3)


def done(item: int) -> Run:
    own = replace(plan(), run_id=f"run-{item}", batch="b", item=item)
    return Run(plan=own, progress=Progress(Completed({"result": item}, 2.0)))


def test_results_are_in_the_order_of_the_rows() -> None:
    body = batch_body(BATCH, [done(0), done(1), done(2)])
    assert body.results == [{"result": 0}, {"result": 1}, {"result": 2}]
    assert body.run_ids == ["run-0", "run-1", "run-2"]


def test_a_run_that_was_deleted_leaves_its_place_empty() -> None:
    body = batch_body(BATCH, [done(0), done(2)])
    assert body.results == [{"result": 0}, None, {"result": 2}]
    assert body.run_ids == ["run-0", None, "run-2"]
    assert (body.status, body.completed_items) == ("completed", 3)
