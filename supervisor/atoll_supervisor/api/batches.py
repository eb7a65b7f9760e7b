"""`POST /run/batch` and `GET /batch/{id}`: many runs of one agent (later versions of Flock).

Rows come in the request: a path to a file on this machine is never read, and
none is written (row FL4 of seeds-contract.md).
"""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from msgspec import Meta, Struct

from atoll.errors import ClientError
from atoll.http.decoding import decode
from atoll.wire.json import JsonObject
from atoll_supervisor.api.auth import WORK
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.api.runs import JSON, NOT_STARTED, AnyRuns, Key, allowed, keyed
from atoll_supervisor.core.runs.batches import BatchBody, batch_body, item_inputs
from atoll_supervisor.core.runs.records import BatchOrder, OnInterrupt, Order, Webhook
from atoll_supervisor.ports import Runs

MOST_ITEMS = 10_000
MOST_REPEATED = 64 * 1024 * 1024
"""Bytes of what all rows share, which is kept with each: a small request must not fill the disk."""


class BatchRequest(Struct, frozen=True, kw_only=True):
    """Rows for one agent.

    `input_mapping` picks fields of a row and gives them the agent's names;
    `static_inputs` are the same for every row. With `return_errors` a run that
    fails is a result like any other. The webhook is told of each run.
    """

    agent_name: Annotated[str, Meta(max_length=200)]
    batch_inputs: list[JsonObject] | str
    input_mapping: dict[str, str] | None = None
    static_inputs: JsonObject = {}
    parallel: bool = True
    max_workers: Annotated[int, Meta(ge=1, le=256)] = 5
    return_errors: bool = False
    on_interrupt: OnInterrupt = "continue"
    webhook: Webhook | None = None
    write_to_csv: str | None = None


_requests = msgspec.json.Decoder(BatchRequest)
_encode = msgspec.json.Encoder().encode
_BATCH = ResponseSpec(BatchBody, description="The batch")


@post(
    "/run/batch", status_code=200, opt=WORK, operation_id="run_batch", tags=["flock"],
    responses={200: _BATCH, **NOT_STARTED},
)  # fmt: skip
async def run_batch(request: AnyRequest, runs: AnyRuns, key: Key = None) -> Response[bytes]:
    """Run an agent once for each row, in the background; answers at once with the batch."""
    asked = decode(_requests, await request.body())
    rows, webhook = _rows(asked), allowed(asked.webhook)
    orders = [
        Order(
            kind="agent",
            agent=asked.agent_name,
            inputs=item_inputs(row, asked.input_mapping, asked.static_inputs),
            on_interrupt=asked.on_interrupt,
            webhook=webhook,
        )
        for row in rows
    ]
    workers = asked.max_workers if asked.parallel else 1
    more = BatchOrder(agent=asked.agent_name, workers=workers, return_errors=asked.return_errors)
    batch_id = await runs.start_batch(orders, more, await keyed(request, key))
    return await _answer(runs, batch_id)


@get(
    "/batch/{batch_id:str}", opt=WORK, operation_id="read_batch", tags=["flock"],
    responses={200: _BATCH, **described(401, 404)},
)  # fmt: skip
async def read_batch(
    runs: AnyRuns, batch_id: Annotated[str, Parameter(description="The batch's id")]
) -> Response[bytes]:
    """A batch as it is now, with the results that there are."""
    return await _answer(runs, batch_id)


def _rows(asked: BatchRequest) -> list[JsonObject]:
    """The rows; raises ClientError for a path, for none, and for too many."""
    if asked.write_to_csv is not None:
        raise ClientError("write_to_csv: no file is written here; GET /batch/{id} has the results")
    rows = asked.batch_inputs
    if isinstance(rows, str):
        raise ClientError("batch_inputs: no path is read here; send the rows, a list of objects")
    if not 0 < len(rows) <= MOST_ITEMS:
        raise ClientError(f"batch_inputs: 1 to {MOST_ITEMS} rows, not {len(rows)}")
    shared = len(_encode((asked.static_inputs, asked.input_mapping)))
    if len(rows) * shared > MOST_REPEATED:
        what = "static_inputs and the names of input_mapping"
        raise ClientError(f"{what}: over {MOST_REPEATED} bytes when each row has them")
    return rows


async def _answer(runs: Runs, batch_id: str) -> Response[bytes]:
    body = batch_body(*await runs.batch(batch_id))
    return Response(_encode(body), status_code=200, media_type=JSON)
