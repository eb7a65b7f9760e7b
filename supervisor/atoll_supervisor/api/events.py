"""`GET /api/v1/events` and `…/agents/{name}/events`: what happened, and what happens.

With `Accept: text/event-stream` an endless stream of server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html) that a browser
resumes by itself; with `Accept: application/x-ndjson` one JSON object a line;
otherwise one JSON document. What is read here is safe for a terminal
(`core.happening`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, Parameter, SkipValidation
from litestar.response import Stream
from msgspec import Struct

from atoll.config.names import slug_of, without_tag
from atoll.errors import NotFound
from atoll_supervisor.api.agents import AgentName, AnyFleet
from atoll_supervisor.api.auth import BY_TOKEN
from atoll_supervisor.api.problems import AnyRequest, described, no_such_agent
from atoll_supervisor.core.answers import EventList
from atoll_supervisor.core.happening import Happening
from atoll_supervisor.ports import Events, Fleet

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
MOST = 10_000
USUAL = 100
RECONNECT = b"retry: 1000\n\n"
"""Milliseconds after which a browser comes back when the daemon was restarted."""
HEADERS = {"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
LARGEST = 2**53

Render = Callable[[Happening], bytes]
Pages = AsyncIterator[list[Happening]]
Leaving = NamedDependency[SkipValidation[asyncio.Event]]
AnyEvents = NamedDependency[SkipValidation[Events]]
TailOf = Annotated[
    int | None,
    Parameter(
        ge=0,
        le=MOST,
        description="How many events: the last ones, or with `after` those that follow it. "
        "100 unless given; a stream of server-sent events begins with none.",
    ),
]
After = Annotated[
    int | None, Parameter(ge=0, le=LARGEST, description="The id of the last event that you have")
]
LastEventId = Annotated[
    int | None,
    HeaderParameter(
        name="Last-Event-ID",
        ge=0,
        le=LARGEST,
        description="As `after`, and stronger: what a browser sends when it reconnects",
    ),
]
Follow = Annotated[
    bool, Parameter(description="true: go on with every new event, one JSON object a line")
]

_encode = msgspec.json.Encoder().encode


class Wanted(Struct, frozen=True):
    """What a request asks for."""

    form: str
    after: int | None
    tail: int
    follow: bool


def wanted(
    request: AnyRequest,
    last_event_id: LastEventId = None,
    after: After = None,
    tail: TailOf = None,
    follow: Follow = False,
) -> Wanted:
    """The request's wishes, by its query and its headers."""
    accept = request.headers.get("accept", "")
    plain = NDJSON if follow else JSON
    form = next((form for form in (SSE, NDJSON) if form in accept), plain)
    usual = 0 if form == SSE else USUAL
    place = after if last_event_id is None else last_event_id
    return Wanted(form, place, usual if tail is None else tail, follow or form == SSE)


Wish = NamedDependency[SkipValidation[Wanted]]
_WISH = {"wish": Provide(wanted, sync_to_thread=False)}
_FOUND = ResponseSpec(EventList, description="The events, oldest first")


@get(
    "/api/v1/events",
    operation_id="read_events",
    tags=["events"],
    security=BY_TOKEN,
    dependencies=_WISH,
    responses={200: _FOUND, **described(400, 401)},
)
async def read_events(events: AnyEvents, leaving: Leaving, wish: Wish) -> Response[bytes] | Stream:
    """What happened to every agent and to the daemon itself, and on request what happens.

    With `Accept: text/event-stream` the stream never ends before the daemon
    does; each event carries its id, so that nothing is missed or told twice
    over a reconnect.
    """
    return await _answer(events, leaving, wish, None)


@get(
    "/api/v1/agents/{name:str}/events",
    operation_id="read_agent_events",
    tags=["agents"],
    security=BY_TOKEN,
    dependencies=_WISH,
    responses={200: _FOUND, **described(400, 401, 404)},
)
async def read_agent_events(
    fleet: AnyFleet, events: AnyEvents, leaving: Leaving, wish: Wish, name: AgentName
) -> Response[bytes] | Stream:
    """What happened to one agent, also after it was removed; otherwise as `/api/v1/events`."""
    return await _answer(events, leaving, wish, await _unit(fleet, events, name))


async def _unit(fleet: Fleet, events: Events, name: str) -> str:
    """The slug of an agent that is there, or of which there are events at least."""
    try:
        return fleet.row(name).slug
    except NotFound:
        slug = slug_of(without_tag(name))
        if slug and await events.latest(slug, 1):
            return slug
        raise no_such_agent(fleet, name) from None


async def _answer(
    events: Events, leaving: asyncio.Event, wish: Wanted, unit: str | None
) -> Response[bytes] | Stream:
    if wish.follow:
        return _endless(events.follow(unit, leaving, wish.after, wish.tail), wish.form)
    if wish.after is None:
        found = await events.latest(unit, wish.tail)
    else:
        found = await events.since(wish.after, unit, wish.tail)
    if wish.form == NDJSON:
        body = b"".join(map(_as_json_line, found))
    else:
        body = _encode(EventList(tuple(found), len(found)))
    return Response(body, media_type=wish.form, headers=HEADERS)


def _endless(pages: Pages, form: str) -> Stream:
    if form == SSE:
        content = _rendered(pages, _as_sse, begin=RECONNECT, pulse=b":\n\n")
    else:
        content = _rendered(pages, _as_json_line, begin=b"", pulse=b"\n")
    return Stream(content, media_type=form, headers={**HEADERS, "Cache-Control": "no-cache"})


async def _rendered(
    pages: Pages, render: Render, *, begin: bytes, pulse: bytes
) -> AsyncIterator[bytes]:
    """The pages as bytes; an empty one becomes a sign of life that clients skip."""
    yield begin
    async for happenings in pages:
        yield b"".join(map(render, happenings)) or pulse


def _as_json_line(happening: Happening) -> bytes:
    return _encode(happening) + b"\n"


def _as_sse(happening: Happening) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        happening.id,
        happening.kind.encode(),
        _encode(happening),
    )
