"""The routes of conversations that are remembered (Kawai, fleet-rlm) and of events."""

from functools import partial

from atoll.http.fleet_rlm.routes import SessionStates
from atoll.http.fleet_rlm.wire import CommandResult, ErrorFrame, EventFrame, Frame
from atoll.http.kawai import wire
from atoll.http.native.routes import TurnBody
from atoll.http.reference.operation import NDJSON, SESSION, Operation
from atoll.http.sessions import Cleanup, Sessions
from atoll.wire import events

_get = partial(Operation, "get", group="Conversations")
_post = partial(Operation, "post", group="Conversations")
_ID = {"session_id": (SESSION, "The session's id, as the answer that began it told")}

CONVERSATIONS = (
    _post(
        path="/chat",
        summary="One message to a session, answered whole",
        description="The session remembers; without a `session_id` a new one begins. The answer "
        "has the steps that led to it (Kawai, fleet-rlm).",
        takes=wire.ChatRequest,
        example={"message": "Hello", "session_id": SESSION},
        gives=wire.ChatAnswer,
        turn=True,
    ),
    _get(
        path="/stream",
        summary="One message whose steps come as events",
        description="Server-sent events that a browser's EventSource reads; the message stands "
        "in the URL (Kawai). The last is `run_end` or `error`.",
        query=wire.ChatRequest,
        asks={"message": "Hello"},
        says={
            "message": "What is said to the agent",
            "session_id": "The session that goes on; without it a new one begins",
            "max_steps": "How many steps the turn may take",
            "force_provide_answer": "Whether a turn without steps left answers with what it has",
            "docs_path": "fleet-rlm's; no client may name a file of the server",
            "trace": "fleet-rlm's; the trajectory is always there",
        },
        streams=(wire.StreamEvent,),
        turn=True,
    ),
    _post(
        path="/stream",
        summary="The same with the message in the body",
        description="As `GET /stream`, for clients that can send a body and messages that are "
        "too long for a URL.",
        takes=wire.ChatRequest,
        example={"message": "Hello", "session_id": SESSION},
        streams=(wire.StreamEvent,),
        turn=True,
    ),
    Operation(
        "get",
        "/ws/chat",
        "Conversations",
        "A WebSocket for messages, cancel and commands",
        "fleet-rlm's protocol: each frame is one JSON text. It is upgraded to a WebSocket, so it "
        "cannot be tried from a page; docs/dialects.md tells a conversation over it.",
        takes=Frame,
        example={"type": "message", "content": "Hello", "session_id": SESSION},
        streams=(EventFrame, CommandResult, ErrorFrame),
        turn=True,
    ),
    _get(
        path="/sessions",
        summary="Every live session",
        description="The last used first, as Kawai tells them. Where the agent has no token, ids "
        "are cut short, because who knows one can read its conversation.",
        gives=wire.SessionList,
    ),
    _get(
        path="/sessions/state",
        summary="The same, as fleet-rlm tells it",
        description="Every live session with the fields of fleet-rlm's page.",
        gives=SessionStates,
    ),
    _get(
        path="/sessions/{session_id}/export",
        summary="Every word of a session",
        description="All messages, and the summary that the model is shown for the oldest ones "
        "once the session was compacted.",
        gives=wire.Exported,
        parameters=_ID,
    ),
    _get(
        path="/sessions/{session_id}",
        summary="One session",
        description="When it began, when it was used last, and how many tokens it took.",
        gives=wire.SessionAnswer,
        parameters=_ID,
    ),
    Operation(
        "delete",
        "/sessions/{session_id}",
        "Conversations",
        "Forget a session",
        "The session and every word of it are deleted from the disk.",
        gives=wire.Deleted,
        parameters=_ID,
    ),
    _get(
        path="/api/sessions",
        summary="How many sessions are alive",
        description="Their number, and after how many minutes an unused one expires.",
        gives=Sessions,
    ),
    _post(
        path="/api/sessions/cleanup",
        summary="Delete the expired sessions",
        description="It happens by itself, too; an expired one is unknown before that already.",
        gives=Cleanup,
    ),
)
EVENTS = (
    Operation(
        "post",
        "/api/v1/turns",
        "Events",
        "A turn with everything that happens in it",
        "NDJSON: each token, call, result and warning as an event, and those of the agents that "
        "were asked below it. Parents of an agent and `atoll run` read it.",
        takes=TurnBody,
        example={"messages": [{"role": "user", "content": "Hello"}]},
        streams=(
            *(events.RunStart, events.StepStart, events.Token, events.Reasoning),
            *(events.ToolCall, events.ToolResult, events.Planning, events.Warning),
            *(events.Below, events.RunEnd, events.Failure),
        ),
        flow=NDJSON,
        turn=True,
    ),
)
