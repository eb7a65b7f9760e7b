"""One turn's events as Ollama's lines, and as its one object for `stream: false`. Pure.

The order is Ollama's (ollama-api.md 1.4): thinking before content, tool calls
in a chunk of their own with done false, metrics in the last line. What the
agent does for itself (its own tools, plans, warnings) has no line.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
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
    Below,
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
from atoll.wire.logprobs import Logprob

Now = Callable[[], datetime]
Logprobs = tuple[Logprob, ...]

NDJSON = b"application/x-ndjson"
MOST_TEXT = 1024 * 1024
"""Characters of one line. Escaped each may take 6 bytes, and Go's client reads 8 MiB at most."""

encode = msgspec.json.Encoder().encode
_CALL_ID = re.compile(r"call_[a-z0-9]{8}")


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
            case Token() | Reasoning() if len(event.text) > MOST_TEXT:
                return b"".join(map(self.line, in_parts(event)))
            case Token():
                return self._part(MessageOut("assistant", event.text), event.logprobs)
            case Reasoning():
                return self._part(MessageOut("assistant", "", event.text), event.logprobs)
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
            case Below():  # an agent further down: no part of this answer
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object of `stream: false`."""
        calls = [_tool_call(call, index) for index, call in enumerate(answer.calls)]
        message = MessageOut("assistant", answer.text, answer.thinking, calls)
        return self._last(answer.end, message, answer.logprobs)

    def _part(self, message: MessageOut, logprobs: Logprobs = ()) -> bytes:
        return encode(self._chunk(message, logprobs)) + b"\n"

    def _last(self, end: RunEnd, message: MessageOut, logprobs: Logprobs = ()) -> bytes:
        chunk = self._chunk(message, logprobs)
        chunk.done = True
        return encode(_finished(chunk, end))

    def _chunk(self, message: MessageOut, logprobs: Logprobs) -> ChatChunk:
        return ChatChunk(
            model=self._model,
            created_at=self._now(),
            message=message,
            done=False,
            logprobs=logprobs,
        )


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
            case Token() | Reasoning() if len(event.text) > MOST_TEXT:
                return b"".join(map(self.line, in_parts(event)))
            case Token():
                return self._part(event.text, "", event.logprobs)
            case Reasoning():
                return self._part("", event.text, event.logprobs)
            case RunEnd():
                return encode(self._finish(self._chunk(""), event)) + b"\n"
            case Failure():
                return error_body("ollama", event) + b"\n"
            case RunStart() | StepStart() | ToolCall() | ToolResult() | Planning() | Warning():
                return b""
            case Below():  # an agent further down: no part of this answer
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object of `stream: false`."""
        chunk = self._chunk(answer.text, answer.thinking, answer.logprobs)
        return encode(self._finish(chunk, answer.end))

    def _part(self, text: str, thinking: str, logprobs: Logprobs) -> bytes:
        return encode(self._chunk(text, thinking, logprobs)) + b"\n"

    def _chunk(self, text: str, thinking: str = "", logprobs: Logprobs = ()) -> GenerateChunk:
        return GenerateChunk(
            model=self._model,
            created_at=self._now(),
            response=text,
            thinking=thinking,
            done=False,
            logprobs=logprobs,
        )

    def _finish(self, chunk: GenerateChunk, end: RunEnd) -> GenerateChunk:
        chunk.done = True
        chunk.context = self.context
        return _finished(chunk, end)


def in_parts(event: Token | Reasoning) -> Iterator[Token | Reasoning]:
    """The event in pieces that fit into a line; the first has the logprobs."""
    for start in range(0, len(event.text), MOST_TEXT):
        text = event.text[start : start + MOST_TEXT]
        logprobs = () if start else event.logprobs
        yield msgspec.structs.replace(event, text=text, logprobs=logprobs)


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
    call_id = _own_form(event.call_id)
    return ToolCallOut(call_id, FunctionOut(index, event.name, event.arguments))


def _own_form(call_id: str) -> str:
    """`call_` and 8 of [a-z0-9], the only form that Ollama gives (ollama-api.md 1.2).

    Servers behind us have others: llama.cpp 32 letters of both cases, vLLM a UUID.
    """
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode()).hexdigest()[:8]}"
