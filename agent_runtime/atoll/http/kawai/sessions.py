"""`/sessions`: what is remembered; asking never makes a session live longer (KW5)."""

from datetime import UTC, datetime
from typing import Annotated

from litestar import Request, delete, get
from litestar.datastructures import State
from litestar.params import Parameter

from atoll.errors import NotFound
from atoll.http.access import agent_of
from atoll.http.kawai.wire import Deleted, Exported, ExportedMessage, SessionAnswer, SessionList
from atoll.http.listing import listed
from atoll.loop.conversations import checked
from atoll.ports import SessionInfo

AnyRequest = Request[object, object, State]
SessionId = Annotated[str, Parameter(description="As the client chose it, or was told")]


@get("/sessions")
async def session_list(request: AnyRequest) -> SessionList:
    """Every live session, by the beginning of its id where no token guards the agent."""
    rows = tuple(map(_answer, await listed(request.app)))
    return SessionList(rows, len(rows))


@get("/sessions/{session_id:str}")
async def session(request: AnyRequest, session_id: SessionId) -> SessionAnswer:
    """One session."""
    info = await agent_of(request.app).sessions.about(checked(session_id))
    if info is None:
        raise _unknown(session_id)
    return _answer(info)


@get("/sessions/{session_id:str}/export")
async def session_export(request: AnyRequest, session_id: SessionId) -> Exported:
    """Every word of it."""
    memory = await agent_of(request.app).sessions.recall(checked(session_id))
    if memory is None:
        raise _unknown(session_id)
    told = tuple(ExportedMessage(message.role, message.content) for message in memory.messages)
    return Exported(session_id, told, memory.summary.text, memory.summary.covers)


@delete("/sessions/{session_id:str}", status_code=200)
async def session_delete(request: AnyRequest, session_id: SessionId) -> Deleted:
    """Forget it, and end the turns that it may have under way."""
    agent = agent_of(request.app)
    had_turns = await agent.conversations.end(checked(session_id))
    if not (await agent.sessions.delete(session_id) or had_turns):
        raise _unknown(session_id)
    return Deleted(session_id, deleted=True)


SESSIONS = (session_list, session, session_export, session_delete)


def _unknown(session_id: str) -> NotFound:
    return NotFound(f"no session {session_id!r}: it was never there, or it has expired")


def _answer(info: SessionInfo) -> SessionAnswer:
    made, used = _rfc3339(info.created_at), _rfc3339(info.used_at)
    return SessionAnswer(info.id, made, used, info.messages, info.tokens)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
