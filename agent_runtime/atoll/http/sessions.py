"""ATOLL's session routes: how many conversations are remembered, and forgetting the old ones."""

from litestar import Request, get, post
from litestar.datastructures import State
from msgspec import Struct

from atoll.http.access import agent_of

AnyRequest = Request[object, object, State]


class Sessions(Struct, frozen=True):
    """`GET /api/sessions`."""

    active_sessions: int
    timeout_minutes: float


class Cleanup(Struct, frozen=True):
    """`POST /api/sessions/cleanup`."""

    cleaned_sessions: int


@get("/api/sessions")
async def sessions(request: AnyRequest) -> Sessions:
    """How many sessions are alive."""
    agent = agent_of(request.app)
    return Sessions(await agent.sessions.count(), agent.manifest.session.timeout_minutes)


@post("/api/sessions/cleanup", status_code=200)
async def cleanup(request: AnyRequest) -> Cleanup:
    """Delete the expired sessions; expired ones are unknown before that already."""
    return Cleanup(await agent_of(request.app).sessions.cleanup())
