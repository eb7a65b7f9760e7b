"""One turn's events as Ollama's lines, and as its one object for `stream: false`. Pure.

The order is Ollama's (ollama-api.md 1.4): thinking before content, tool calls
in a chunk of their own with done false, metrics in the last line. What the
agent does for itself (its own tools, plans, warnings) has no line.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar, assert_never

import msgspec

from atoll.http.answer import Answer
from atoll.http.faults import error_body
from atoll.http.ollama.wire import (
    ChatChunk,
    FunctionOut,
    GenerateChunk,
    MessageOut,
    ToolCallOut,
)
from atoll.wire.events import (
    Event,
    Failure,
    Planning,
    Reasoning,
    RunEnd,
    RunStart,
    StepStart,
    Token,
    ToolCall,
    ToolResult,
    Warning,
)

Now = Callable[[], datetime]

NDJSON = b"application/x-ndjson"

encode = msgspec.json.Encoder().encode


class ChatProjection:
    """Writes `/api/chat`; `model` is echoed as the client spelled it."""

    media_type = NDJSON

    def __init__(self, model: str, now: Now) -> None:
        self._model = model
        self._now = now
        self._calls = 0

    def line(self, event: Event) -> bytes:
        """The line of one event, b"" when it has none."""
        match event:
            case Token():
                return self._part(MessageOut("assistant", event.text))
            case Reasoning():
                return self._part(MessageOut("assistant", "", event.text))
            case ToolCall(origin="client"):
                call = _tool_call(event, self._calls)
                self._calls += 1
                return self._part(MessageOut("assistant", "", "", [call]))
            case RunEnd():
                return self._last(event, MessageOut("assistant", "")) + b"\n"
            case Failure():
                return error_body("ollama", event) + b"\n"
            case RunStart() | StepStart() | ToolCall() | ToolResult() | Planning() | Warning():
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object of `stream: false`."""
        calls = [_tool_call(call, index) for index, call in enumerate(answer.calls)]
        message = MessageOut("assistant", answer.text, answer.thinking, calls)
        return self._last(answer.end, message)

    def _part(self, message: MessageOut) -> bytes:
        chunk = ChatChunk(model=self._model, created_at=self._now(), message=message, done=False)
        return encode(chunk) + b"\n"

    def _last(self, end: RunEnd, message: MessageOut) -> bytes:
        chunk = ChatChunk(model=self._model, created_at=self._now(), message=message, done=True)
        return encode(_finished(chunk, end))


class GenerateProjection:
    """Writes `/api/generate`; `context` is what the end says, and left out while empty."""

    media_type = NDJSON

    def __init__(self, model: str, now: Now) -> None:
        self.context: list[int] = []
        self._model = model
        self._now = now

    def line(self, event: Event) -> bytes:
        """The line of one event, b"" when it has none."""
        match event:
            case Token():
                return encode(self._chunk(event.text)) + b"\n"
            case Reasoning():
                return encode(self._chunk("", event.text)) + b"\n"
            case RunEnd():
                return encode(self._finish(self._chunk(""), event)) + b"\n"
            case Failure():
                return error_body("ollama", event) + b"\n"
            case RunStart() | StepStart() | ToolCall() | ToolResult() | Planning() | Warning():
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object of `stream: false`."""
        return encode(self._finish(self._chunk(answer.text, answer.thinking), answer.end))

    def _chunk(self, text: str, thinking: str = "") -> GenerateChunk:
        return GenerateChunk(
            model=self._model, created_at=self._now(), response=text, thinking=thinking, done=False
        )

    def _finish(self, chunk: GenerateChunk, end: RunEnd) -> GenerateChunk:
        chunk.done = True
        chunk.context = self.context
        return _finished(chunk, end)


C = TypeVar("C", ChatChunk, GenerateChunk)


def _finished(chunk: C, end: RunEnd) -> C:
    """Add what only the last chunk has. Clients divide by these numbers: none is ever 0."""
    usage = end.usage
    chunk.done_reason = end.reason
    chunk.total_duration = end.total_ns
    chunk.load_duration = max(1, usage.load_ns)
    chunk.prompt_eval_count = max(1, usage.prompt_tokens)
    chunk.prompt_eval_duration = max(1, usage.prompt_ns)
    chunk.eval_count = max(1, usage.completion_tokens)
    chunk.eval_duration = max(1, usage.completion_ns)
    return chunk


def _tool_call(event: ToolCall, index: int) -> ToolCallOut:
    return ToolCallOut(event.call_id, FunctionOut(index, event.name, event.arguments))
