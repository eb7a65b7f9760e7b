"""One turn's events as Anthropic's events, and as its one message. Pure.

Text, thinking and each call are blocks in the order in which they come; a
change from one to the other ends a block. The prompt is counted when the turn
is over, so `message_start` says 0 and `message_delta` the truth.
"""

from typing import assert_never

import msgspec

from atoll.http.answer import Answer
from atoll.http.anthropic.wire import (
    BlockDelta,
    BlockOut,
    BlockStart,
    BlockStop,
    InputDelta,
    MessageDelta,
    MessageOut,
    MessageStart,
    MessageStop,
    Ping,
    SignatureDelta,
    Stopped,
    StreamEvent,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    UsageOut,
)
from atoll.http.faults import anthropic_error
from atoll.http.sse import EVENT_STREAM, sse
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
from atoll.wire.messages import Usage

_encode = msgspec.json.Encoder().encode


class MessageProjection:
    """Writes `/v1/messages`; `request_id` is for an error in the middle of a stream."""

    media_type = EVENT_STREAM

    def __init__(self, message_id: str, model: str, request_id: str) -> None:
        self._id = message_id
        self._model = model
        self._request_id = request_id
        self._open: BlockOut | None = None
        self._place = 0
        self._calls = 0
        self._started = False

    def line(self, event: Event) -> bytes:
        """The server-sent events of one event, b"" when it has none."""
        match event:
            case Token():
                return self._said(TextBlock(""), TextDelta(event.text))
            case Reasoning():
                return self._said(ThinkingBlock(""), ThinkingDelta(event.text))
            case ToolCall(origin="client"):
                return self._called(event)
            case RunEnd():
                return self._ended(event)
            case Failure():
                return sse(anthropic_error(event, self._request_id), "error")
            case RunStart() | StepStart() | ToolCall() | ToolResult() | Planning() | Warning():
                return b""
            case Below():  # an agent further down: no part of this answer
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one message without `stream`: thinking, then text, then calls."""
        content: list[BlockOut] = []
        if answer.thinking:
            content.append(ThinkingBlock(answer.thinking))
        if answer.text:
            content.append(TextBlock(answer.text))
        content += [ToolUseBlock(call.call_id, call.name, call.arguments) for call in answer.calls]
        reason = _stop_reason(answer.end, len(answer.calls))
        return _encode(self._message(content, reason, _usage(answer.end.usage)))

    def _message(self, content: list[BlockOut], reason: str | None, usage: UsageOut) -> MessageOut:
        return MessageOut(self._id, self._model, content, reason, usage)

    def _said(self, empty: BlockOut, delta: TextDelta | ThinkingDelta) -> bytes:
        opened = b"" if type(self._open) is type(empty) else self._opened(empty)
        return opened + _event(BlockDelta(self._place, delta))

    def _called(self, call: ToolCall) -> bytes:
        self._calls += 1
        opened = self._opened(ToolUseBlock(call.call_id, call.name, {}))
        written = _encode(call.arguments).decode()
        return opened + _event(BlockDelta(self._place, InputDelta(written))) + self._closed()

    def _opened(self, block: BlockOut) -> bytes:
        """Begin a block, after the stream itself or the end of the block before."""
        before = self._begun() + self._closed()
        self._open = block
        return before + _event(BlockStart(self._place, block))

    def _closed(self) -> bytes:
        """End the open block, if there is one."""
        block, self._open = self._open, None
        if block is None:
            return b""
        place, self._place = self._place, self._place + 1
        thought = isinstance(block, ThinkingBlock)
        signed = _event(BlockDelta(place, SignatureDelta(""))) if thought else b""
        return signed + _event(BlockStop(place))

    def _begun(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        return _event(MessageStart(self._message([], None, UsageOut(0, 0)))) + _event(Ping())

    def _ended(self, end: RunEnd) -> bytes:
        before = self._begun() + self._closed()
        delta = MessageDelta(Stopped(_stop_reason(end, self._calls)), _usage(end.usage))
        return before + _event(delta) + _event(MessageStop())


def _event(event: StreamEvent) -> bytes:
    return sse(_encode(event), str(event.__struct_config__.tag))


def _stop_reason(end: RunEnd, calls: int) -> str:
    if end.reason == "length":
        return "max_tokens"
    return "tool_use" if calls else "end_turn"


def _usage(usage: Usage) -> UsageOut:
    return UsageOut(usage.prompt_tokens, usage.completion_tokens)
