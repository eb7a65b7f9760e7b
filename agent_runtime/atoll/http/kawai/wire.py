"""Kawai's and fleet-rlm's bodies, as one superset each (seeds-contract.md sections 2, 4 and 6)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from atoll.http.trajectory import TrajectoryStep
from atoll.wire.json import JsonObject, JsonValue

Kind = Literal[
    "run_start",
    "step_start",
    "reasoning",
    "tool_call",
    "tool_result",
    "planning",
    "warning",
    "run_end",
    "error",
]


class ChatRequest(Struct, frozen=True):
    """`POST /chat`, and the query or the body of `/stream`.

    `trace` and `docs_path` are fleet-rlm's: the trajectory is always there, and no client
    may name a file of the server.
    """

    message: Annotated[str, Meta(min_length=1)]
    session_id: str | None = None
    max_steps: Annotated[int, Meta(ge=1)] | None = None
    force_provide_answer: bool = True
    docs_path: str | None = None
    trace: bool = True


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """`answer` is Kawai's; fleet-rlm's page says `response`, its server `assistant_response`."""

    answer: str
    response: str
    assistant_response: str
    session_id: str
    steps: int
    completed: bool
    plan: str | None
    trajectory: tuple[TrajectoryStep, ...]
    trajectory_flat: JsonObject
    history_turns: int


class StreamEvent(Struct, frozen=True):
    """One event of `/stream`; `timestamp` is RFC 3339."""

    type: Kind
    data: dict[str, JsonValue]
    timestamp: str


class SessionAnswer(Struct, frozen=True):
    """`GET /sessions/{id}`; times are RFC 3339, `tokens_used` those of all its turns."""

    session_id: str
    created_at: str
    last_accessed: str
    message_count: int
    tokens_used: int


class Deleted(Struct, frozen=True):
    """`DELETE /sessions/{id}`."""

    session_id: str
    deleted: bool


class SessionList(Struct, frozen=True):
    """`GET /sessions`: every live session, the last used first; ids end with … where cut short."""

    sessions: tuple[SessionAnswer, ...]
    count: int


class ExportedMessage(Struct, frozen=True):
    """A message as it is remembered."""

    role: str
    content: str


class Exported(Struct, frozen=True):
    """`GET /sessions/{id}/export`: every message, and what the model is shown for the oldest.

    `summary` stands for the first `summarised_messages`; "" and 0 are none.
    """

    session_id: str
    messages: tuple[ExportedMessage, ...]
    summary: str
    summarised_messages: int
