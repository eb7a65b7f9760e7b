"""What clients read of `/v1/responses`: the response and the items it is made of.

Every key that the official client's types require is there, null where this
server has nothing to say (protocols.md section 4).
"""

from typing import Literal

from msgspec import Struct

from atoll.http.responses.wire import FunctionTool, TextFormat
from atoll.wire.json import JsonObject, JsonValue

Status = Literal["in_progress", "completed", "incomplete", "failed"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class TextPart(Struct, frozen=True, tag_field="type", tag="output_text"):
    """The one part of a message."""

    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class SummaryPart(Struct, frozen=True, tag_field="type", tag="summary_text"):
    """The one part of a reasoning item."""

    text: str


class MessageItem(Struct, frozen=True, tag_field="type", tag="message"):
    """What the assistant said."""

    id: str
    status: ItemStatus
    content: tuple[TextPart, ...]
    role: Literal["assistant"] = "assistant"


class ReasoningItem(Struct, frozen=True, tag_field="type", tag="reasoning"):
    """What it thought; a local model's thinking is shown whole, not as a summary of it."""

    id: str
    status: ItemStatus
    summary: tuple[SummaryPart, ...]


class CallItem(Struct, frozen=True, tag_field="type", tag="function_call"):
    """A call of one of the client's tools; `arguments` is JSON text."""

    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


ItemOut = MessageItem | ReasoningItem | CallItem


class InputDetails(Struct, frozen=True):
    """No back end tells what it took from its cache, or put there."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(Struct, frozen=True):
    """No back end counts its thinking apart."""

    reasoning_tokens: int = 0


class UsageOut(Struct, frozen=True):
    """Tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()


class ErrorOut(Struct, frozen=True):
    """Why a response failed."""

    code: str
    message: str


class IncompleteOut(Struct, frozen=True):
    """Why a response is not complete."""

    reason: str


class TextOut(Struct, frozen=True):
    """The settings of the text."""

    format: TextFormat


class ReasoningOut(Struct, frozen=True):
    """The settings of the thinking."""

    effort: str | None
    summary: str | None = None


class ResponseOut(Struct, frozen=True, kw_only=True):
    """A response, finished or not; `created_at` in whole seconds since the epoch."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status = "in_progress"
    background: bool = False
    error: ErrorOut | None = None
    incomplete_details: IncompleteOut | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: JsonObject
    model: str
    output: tuple[ItemOut, ...] = ()
    parallel_tool_calls: bool
    previous_response_id: None = None
    reasoning: ReasoningOut
    store: bool = False
    temperature: float | None
    text: TextOut
    tool_choice: JsonValue
    tools: tuple[FunctionTool, ...]
    top_p: float | None
    truncation: str = "disabled"
    usage: UsageOut | None = None
