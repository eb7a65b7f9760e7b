"""The one event union: everything an agent's turn can say (DESIGN section 6).

The loop emits these and nothing else. Each dialect, streaming or not, is a pure
projection of this stream, so a turn has one meaning and many spellings.

Order: `RunStart (StepStart (Token | Reasoning | ToolCall | ToolResult |
Planning | Warning | Below)*)* (RunEnd | Failure)`. Exactly one RunEnd or Failure
ends the stream, always; those inside a Below end an agent's turn further down.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct

from atoll.errors import Who
from atoll.wire.json import JsonObject
from atoll.wire.logprobs import Logprob
from atoll.wire.messages import Usage

StopReason = Literal["stop", "length", "load", "unload"]


class RunStart(Struct, frozen=True, tag="run_start"):
    """A turn began; `model` is the name the client asked for."""

    run_id: str
    model: str
    prompt: str


class StepStart(Struct, frozen=True, tag="step_start"):
    """A step (one model call and the tools it asks for) began; counts from 0."""

    step_index: int


class Token(Struct, frozen=True, tag="token", omit_defaults=True):
    """A piece of the answer, whole Unicode characters only.

    `logprobs` are those of its tokens, when they were asked for and the back
    end has them; such a piece may be empty.
    """

    text: str
    logprobs: tuple[Logprob, ...] = ()


class Reasoning(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """A piece of the model's thinking, with logprobs as a Token has them."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """The model calls a tool.

    `origin` says whose tool it is: an `agent` call runs inside the turn, a
    `client` call ends the turn and is handed to the client.
    """

    call_id: str
    name: str
    arguments: JsonObject
    origin: Literal["agent", "client"] = "agent"


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """What an agent's tool answered; `failed` when it raised or ran out of time."""

    call_id: str
    name: str
    result: str
    failed: bool = False


class Planning(Struct, frozen=True, tag="planning"):
    """A plan the model wrote before or between steps."""

    plan: str
    updated_plan: str = ""


class Warning(Struct, frozen=True, tag="warning"):
    """Something the person should know; the turn goes on."""

    message: str


class Failure(Struct, frozen=True, tag="error"):
    """The turn failed; the last event. `status` is the HTTP status it stands for.

    `usage` is what was spent by then: by calls of the model that were complete, and below.
    """

    code: str
    message: str
    who: Who
    status: int
    usage: Usage = Usage()


class RunEnd(Struct, frozen=True, tag="run_end"):
    """The turn is complete; the last event. `total_ns` is its wall time, never 0."""

    answer: str
    reason: StopReason
    usage: Usage
    total_ns: int
    steps: int = 1
    completed: bool = True


INTERNAL = Failure("internal", "the agent failed; its log has the reason", "atoll", 500)
"""A fault of our own, about which a client learns no more than that."""

OwnEvent = (
    RunStart
    | StepStart
    | Token
    | Reasoning
    | ToolCall
    | ToolResult
    | Planning
    | Warning
    | Failure
    | RunEnd
)
"""What an agent says of its own turn."""


class Below(Struct, frozen=True, tag="below"):
    """Something that a child said in its own turn, which a tool of this turn is.

    `path` leads down from this agent: the child's name, then its child's.
    `run_id` is that of the run whose event it is, so that two runs of one agent
    can be told apart. What a child answers is no such event but its tool's result.
    """

    path: tuple[str, ...]
    run_id: str
    event: OwnEvent


Event = OwnEvent | Below

Emit = Callable[[Event], Awaitable[None]]
"""Takes the events of a turn one by one, as they happen; the turn waits until it returns."""
