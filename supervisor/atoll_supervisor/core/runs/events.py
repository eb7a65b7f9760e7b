"""What can happen to a run, what is to be done about it, and what is told of it."""

from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.core.runs.records import Key, Run, Status


class Begun(Struct, frozen=True):
    """There is room to work on it."""

    at: float


class Answered(Struct, frozen=True):
    """An agent gave its answer."""

    key: Key
    text: str
    at: float


class AskFailed(Struct, frozen=True):
    """An agent could not answer, and would not if it were asked again."""

    key: Key
    error: str
    reason: str
    at: float


class Interrupted(Struct, frozen=True):
    """Agent or daemon went away before there was an answer."""

    key: Key
    words: str
    at: float


class CancelAsked(Struct, frozen=True):
    """A client wants it to end."""

    at: float


Event = Begun | Answered | AskFailed | Interrupted | CancelAsked


class Said(Struct, frozen=True):
    """One message of a question."""

    role: Literal["user", "assistant"]
    content: str


class Ask(Struct, frozen=True):
    """Ask an agent; `schema` None leaves the form of its answer to it."""

    key: Key
    agent: str
    messages: tuple[Said, ...]
    schema: JsonObject | None = None


EventType = Literal[
    "run_accepted", "step_started", "answer_refused", "step_completed", "chosen",
    "handed_off", "interrupted", "run_completed", "run_failed", "run_cancelled",
]  # fmt: skip


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as it is kept and streamed; ids count from 1, `at` is RFC 3339 in UTC."""

    id: int
    type: EventType
    at: str
    run_id: str
    status: Status
    step: int = 0
    agent: str = ""
    result: JsonObject | None = None
    detail: str = ""
    reason: str = ""


class Outcome(Struct, frozen=True):
    """What came of an event: the run as it is now, what to tell, and whom to ask."""

    run: Run
    told: tuple[Told, ...] = ()
    ask: Ask | None = None
