"""Flock's `/run…`: recorded runs of one agent or a workflow (DESIGN sections 7 and 11).

Bodies are those of the source page, with more fields after its own. What is
wrong with a request is 400; what is wrong with the work is a run that has failed.
"""

import hashlib
from typing import Annotated, Literal

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, Parameter, SkipValidation
from msgspec import Meta, Struct

from atoll.errors import ClientError
from atoll.http.decoding import decode
from atoll.wire.json import JsonObject
from atoll_supervisor.api.agents import expect_nothing
from atoll_supervisor.api.auth import WORK
from atoll_supervisor.api.logs import Leaving
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.core.answers import ErrorBody
from atoll_supervisor.core.runs.answers import RunList
from atoll_supervisor.core.runs.hooks import webhook_fault
from atoll_supervisor.core.runs.records import (
    USUAL_STEPS,
    IdempotencyKey,
    Kind,
    OnInterrupt,
    Order,
    Run,
    Status,
    Wanted,
    Webhook,
)
from atoll_supervisor.core.runs.view import RunBody, body_of
from atoll_supervisor.ports import Runs

JSON = "application/json"
MOST_LISTED = 10_000
MOST_KEY = 255
"""Characters of an Idempotency-Key."""

AnyRuns = NamedDependency[SkipValidation[Runs]]
RunId = Annotated[str, Parameter(description="The id that starting the run answered")]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key and request again answer the run that is there already",
    ),
]


class RunRequest(Struct, frozen=True, kw_only=True):
    """What to run; `async_run` answers at once and goes on in the background.

    `on_interrupt` says what becomes of a step whose agent or daemon is killed. Fields
    of later versions of Flock are passed over.
    """

    agent_name: Annotated[str, Meta(max_length=200)]
    inputs: JsonObject = {}
    async_run: bool = False
    on_interrupt: OnInterrupt = "continue"
    max_steps: Annotated[int, Meta(ge=1, le=100)] = USUAL_STEPS
    webhook: Webhook | None = None


class Deleted(Struct, frozen=True):
    """A run that is no more."""

    run_id: str
    deleted: Literal[True] = True


_RUN = ResponseSpec(RunBody, description="The run")
NOT_STARTED = {
    422: ResponseSpec(ErrorBody, description="The Idempotency-Key came with another request"),
    503: ResponseSpec(ErrorBody, description="The run cannot be kept, or there is no room for it"),
    **described(400, 401, 415),
}
"""The errors of a request that starts runs."""
_STARTED = {200: _RUN, **NOT_STARTED}
_requests = msgspec.json.Decoder(RunRequest)
_encode = msgspec.json.Encoder().encode


@post(
    "/run/agent", status_code=200, opt=WORK, operation_id="run_agent", tags=["flock"],
    responses=_STARTED,
)  # fmt: skip
async def run_agent(
    request: AnyRequest, runs: AnyRuns, leaving: Leaving, key: Key = None
) -> Response[bytes]:
    """Run one agent; answers with the run when it has ended, or at once with `async_run`."""
    return await _started("agent", request, runs, leaving, key)


@post(
    "/run/flock", status_code=200, opt=WORK, operation_id="run_flock", tags=["flock"],
    responses=_STARTED,
)  # fmt: skip
async def run_flock(
    request: AnyRequest, runs: AnyRuns, leaving: Leaving, key: Key = None
) -> Response[bytes]:
    """Run the workflow that begins with an agent and goes on as agents hand off."""
    return await _started("flock", request, runs, leaving, key)


@get(
    "/run", opt=WORK, operation_id="list_runs", tags=["flock"],
    responses={200: ResponseSpec(RunList, description="The runs"), **described(400, 401)},
)  # fmt: skip
async def list_runs(
    runs: AnyRuns,
    status: Annotated[Status | None, Parameter(description="Only those with this status")] = None,
    agent: Annotated[str | None, Parameter(description="Only those begun with this agent")] = None,
    limit: Annotated[int, Parameter(ge=1, le=MOST_LISTED, description="At most this many")] = 100,
    before: Annotated[int | None, Parameter(ge=1, le=2**53, description="`next` of a list")] = None,
) -> Response[bytes]:
    """Runs, newest first, without what went into them and what came out."""
    page = await runs.page(Wanted(limit, status, agent, before))
    following = b"null" if page.following is None else b"%d" % page.following
    body = b'{"runs":[%b],"count":%d,"next":%b}' % (b",".join(page.rows), len(page.rows), following)
    return Response(body, media_type=JSON)


@get(
    "/run/{run_id:str}", opt=WORK, operation_id="read_run", tags=["flock"],
    responses={200: _RUN, **described(401, 404)},
)  # fmt: skip
async def read_run(runs: AnyRuns, run_id: RunId) -> Response[bytes]:
    """A run as it is now."""
    return _answer(await runs.run(run_id))


@post(
    "/run/{run_id:str}/cancel", status_code=200, opt=WORK, operation_id="cancel_run",
    tags=["flock"], before_request=expect_nothing,
    responses={200: _RUN, **described(400, 401, 404, 415)},
)  # fmt: skip
async def cancel_run(runs: AnyRuns, leaving: Leaving, run_id: RunId) -> Response[bytes]:
    """End a run; one that has ended already is left as it is."""
    return _answer(await runs.cancel(run_id, leaving))


@delete(
    "/run/{run_id:str}", status_code=200, opt=WORK, operation_id="delete_run", tags=["flock"],
    responses={
        409: ResponseSpec(ErrorBody, description="The run has not ended"), **described(401, 404),
    },
)  # fmt: skip
async def delete_run(runs: AnyRuns, run_id: RunId) -> Deleted:
    """Forget a run that has ended."""
    await runs.delete(run_id)
    return Deleted(run_id)


def allowed(webhook: Webhook | None) -> Webhook | None:
    """The webhook, if it is one that can be told; raises ClientError."""
    if webhook is not None and (fault := webhook_fault(webhook)):
        raise ClientError(fault)
    return webhook


async def keyed(request: AnyRequest, key: str | None) -> IdempotencyKey | None:
    """What the request is called, with a digest of its path and its body; raises ClientError."""
    if key is None:
        return None
    if not 0 < len(key) <= MOST_KEY or not (key.isascii() and key.isprintable()):
        raise ClientError(f"Idempotency-Key: 1 to {MOST_KEY} printable ASCII characters")
    digest = hashlib.sha256(request.url.path.encode() + b"\0" + await request.body())
    return IdempotencyKey(key, digest.hexdigest())


async def _started(
    kind: Kind, request: AnyRequest, runs: Runs, leaving: Leaving, key: str | None
) -> Response[bytes]:
    asked = decode(_requests, await request.body())
    order = Order(
        kind=kind,
        agent=asked.agent_name,
        inputs=asked.inputs,
        on_interrupt=asked.on_interrupt,
        max_steps=asked.max_steps,
        webhook=allowed(asked.webhook),
    )
    run = await runs.start(order, await keyed(request, key))
    if not asked.async_run:
        run = await runs.ended(run.plan.run_id, leaving)
    return _answer(run)


def _answer(run: Run) -> Response[bytes]:
    return Response(_encode(body_of(run)), status_code=200, media_type=JSON)
