"""`WS /ws/chat`, and fleet-rlm's `GET /sessions/state`."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime

from litestar import Request, asgi, get
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from atoll.http.access import agent_of
from atoll.http.asgi import TEXT, send_answer
from atoll.http.faults import STOPPING
from atoll.http.fleet_rlm.talk import BROKEN, RESTART, Talk
from atoll.http.listing import listed
from atoll.wire.events import INTERNAL

AnyRequest = Request[object, object, State]

_log = logging.getLogger("atoll.http")


@asgi("/ws/chat", copy_scope=False)
async def ws_chat(scope: Scope, receive: Receive, send: Send) -> None:
    """A conversation over a WebSocket."""
    if scope["type"] != ScopeType.WEBSOCKET:
        asked = ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))
        said = b"this is a WebSocket: come with one\n"
        await send_answer(send, 426, said, media_type=TEXT, headers=asked)
        return
    await receive()  # the connect
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    talk = Talk(agent_of(scope["litestar_app"]), send)
    try:
        await _held(talk, receive)
    except asyncio.CancelledError:  # the end of a drain
        with suppress(OSError):
            await talk.error(STOPPING)
            await talk.close(RESTART, STOPPING.message)
        raise


async def _held(talk: Talk, receive: Receive) -> None:
    try:
        await talk.hold(receive)
    except ExceptionGroup as group:
        # An OSError says that the client is gone: uvicorn raises it for whoever sends.
        if (fault := group.split(OSError)[1]) is None:
            return
        _log.error("a WebSocket broke", exc_info=fault)
        with suppress(OSError):
            await talk.error(INTERNAL)
            await talk.close(BROKEN, INTERNAL.message)


class SessionState(Struct, frozen=True):
    """What there is of one session; `updated_at` is RFC 3339."""

    key: str
    session_id: str
    history_turns: int
    updated_at: str


class SessionStates(Struct, frozen=True):
    """`GET /sessions/state`."""

    sessions: tuple[SessionState, ...]
    ok: bool = True


@get("/sessions/state")
async def session_states(request: AnyRequest) -> SessionStates:
    """Every live session, the last used first, by the beginning of its id as in `/sessions`."""
    return SessionStates(
        tuple(
            SessionState(
                key=info.id,
                session_id=info.id,
                history_turns=info.turns,
                updated_at=datetime.fromtimestamp(info.used_at, UTC).isoformat(),
            )
            for info in await listed(request.app)
        )
    )


FLEET_RLM = (ws_chat, session_states)
