"""`GET /run/{run_id}/events`: what happens to a run, as it happens.

Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)
that end with the run and are resumed by `Last-Event-ID`; a browser comes back after every
end, and is told by a 204 that there is no more. One JSON document of what has happened
with `Accept: application/json`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from atoll_supervisor.api.auth import WORK
from atoll_supervisor.api.events import HEADERS, LARGEST, RECONNECT, SSE, LastEventId
from atoll_supervisor.api.logs import Leaving
from atoll_supervisor.api.problems import AnyRequest, described
from atoll_supervisor.api.runs import AnyRuns, RunId
from atoll_supervisor.core.runs.answers import RunEvents
from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.ports import Runs

JSON = "application/json"
_HEADERS = {**HEADERS, "Cache-Control": "no-cache"}

After = Annotated[int, Parameter(ge=0, le=LARGEST, description="The id of the last that you have")]


_encode = msgspec.json.Encoder().encode


@get(
    "/run/{run_id:str}/events", opt=WORK, operation_id="read_run_events", tags=["flock"],
    responses={
        200: ResponseSpec(str, description="The events", media_type=SSE),
        204: ResponseSpec(None, description="The run has ended and `Last-Event-ID` was its last"),
        **described(400, 401, 404),
    },
)  # fmt: skip
async def read_run_events(
    request: AnyRequest,
    runs: AnyRuns,
    leaving: Leaving,
    run_id: RunId,
    after: After = 0,
    last_event_id: LastEventId = None,
) -> Response[bytes] | Stream:
    """A run's events from its beginning, or after an id, until it has ended."""
    run = await runs.run(run_id)
    place = after if last_event_id is None else last_event_id
    if JSON in request.headers.get("accept", ""):
        return await _so_far(runs, run_id, place)
    if last_event_id is not None and run.is_final and last_event_id >= run.progress.told:
        return Response(b"", status_code=204, headers=_HEADERS)
    pages = runs.follow(run_id, place, leaving)
    return Stream(_rendered(pages), media_type=SSE, headers=_HEADERS)


async def _so_far(runs: Runs, run_id: str, after: int) -> Response[bytes]:
    now = asyncio.Event()
    now.set()
    found = [one async for page in runs.follow(run_id, after, now) for one in page]
    body = _encode(RunEvents(tuple(found), len(found)))
    return Response(body, media_type=JSON, headers={"Vary": "Accept"})


async def _rendered(pages: AsyncIterator[list[Told]]) -> AsyncIterator[bytes]:
    """Each page as it comes; an empty one is a comment, a sign of life that clients skip."""
    yield RECONNECT
    async for page in pages:
        yield b"".join(map(_as_sse, page)) or b":\n\n"


def _as_sse(told: Told) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.id, told.type.encode(), _encode(told))
