"""The frames of `WS /ws/chat`, each one JSON text (seeds-contract.md section 4.1)."""

from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject

Trace = Literal["compact", "verbose", "off"]
Kind = Literal[
    "assistant_token",
    "status",
    "reasoning_step",
    "tool_call",
    "tool_result",
    "trajectory_step",
    "plan_update",
    "warning",
    "final",
    "cancelled",
    "error",
]


class Frame(Struct, frozen=True):
    """What a client sends; `workspace_id` and `user_id` of the original are not looked at.

    Without a `session_id` it is about the session that the connection was in last.
    """

    type: Literal["message", "cancel", "command"] = "message"
    content: str = ""
    session_id: str | None = None
    docs_path: str | None = None
    trace: bool = True
    trace_mode: Trace | None = None
    command: str = ""
    args: JsonObject = {}

    @property
    def tracing(self) -> Trace:
        """How much of the agent's steps the client wants to see."""
        return (self.trace_mode or "verbose") if self.trace else "off"


class EventData(Struct, frozen=True, omit_defaults=True):
    """One thing that happened; `timestamp` is RFC 3339.

    After the one with an `event_id` a turn can be resumed.
    """

    kind: Kind
    text: str
    payload: JsonObject
    timestamp: str
    event_id: str = ""


class EventFrame(Struct, frozen=True, tag_field="type", tag="event"):
    """Something of a turn."""

    data: EventData


class CommandResult(Struct, frozen=True, tag_field="type", tag="command_result"):
    """What a command came to; `result` has a `status`: "ok", or "error" with an `error`."""

    command: str
    result: JsonObject


class ErrorFrame(Struct, frozen=True, tag_field="type", tag="error"):
    """A frame that was not obeyed, or a server that leaves; `who` has to mend it."""

    message: str
    code: str
    who: str
