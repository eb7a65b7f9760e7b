"""One turn's events as the events of `/v1/responses`, and as its one object. Pure.

What the agent says, thinks and calls are items in the order in which they come;
a change from one to the other ends an item. Nothing goes out before the first
of them, so that a turn which fails early still gets its true status.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from atoll.http.answer import Answer
from atoll.http.responses.growing import (
    Growing,
    GrowingMessage,
    GrowingReasoning,
    call_events,
    message_item,
    reasoning_item,
)
from atoll.http.responses.objects import (
    CallItem,
    ErrorOut,
    IncompleteOut,
    ItemOut,
    ItemStatus,
    ReasoningItem,
    ResponseOut,
    UsageOut,
)
from atoll.http.responses.stream_events import (
    Completed,
    Created,
    Failed,
    Incomplete,
    InProgress,
    StreamEvent,
)
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

_encode = msgspec.json.Encoder().encode


class ResponseProjection:
    """Writes `/v1/responses`; `frame` is the response before anything is said."""

    media_type = EVENT_STREAM

    def __init__(self, frame: ResponseOut) -> None:
        self._frame = frame
        self._output: list[ItemOut] = []
        self._growing: Growing | None = None
        self._sent = 0

    def line(self, event: Event) -> bytes:
        """The server-sent events of one event, b"" when it has none."""
        match event:
            case Token():
                return self._send(self._grown(GrowingMessage, event.text))
            case Reasoning():
                return self._send(self._grown(GrowingReasoning, event.text))
            case ToolCall(origin="client"):
                return self._send([*self._ended("completed"), *self._called(event)])
            case RunEnd():
                return self._send(self._finish(event))
            case Failure():
                return self._send([Failed(response=self._failed(event))])
            case RunStart() | StepStart() | ToolCall() | ToolResult() | Planning() | Warning():
                return b""
            case Below():  # an agent further down: no part of this answer
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object without `stream`: thinking, then text, then calls."""
        status = _item_status(answer.end)
        if answer.thinking:
            item_id = self._item_id(GrowingReasoning.prefix)
            self._output.append(reasoning_item(item_id, answer.thinking, "completed"))
        if answer.text or not answer.calls:
            item_id = self._item_id(GrowingMessage.prefix)
            self._output.append(message_item(item_id, answer.text, status))
        for call in answer.calls:
            self._output.append(self._call(call))
        return _encode(self._complete(answer.end))

    def _grown(self, kind: type[GrowingMessage | GrowingReasoning], text: str) -> list[StreamEvent]:
        growing = self._growing
        if isinstance(growing, kind):
            return [growing.more(text)]
        growing, begun = self._begun(kind)
        return [*begun, growing.more(text)]

    def _begun(
        self, kind: type[GrowingMessage | GrowingReasoning]
    ) -> tuple[Growing, list[StreamEvent]]:
        """Begin an item, after the end of the one before."""
        before = self._ended("completed")
        self._growing = growing = kind(self._item_id(kind.prefix), len(self._output))
        return growing, before + growing.begin()

    def _ended(self, status: ItemStatus) -> list[StreamEvent]:
        """End the item that grows, if one does."""
        growing, self._growing = self._growing, None
        if growing is None:
            return []
        self._output.append(growing.item(status))
        return growing.end(status)

    def _called(self, event: ToolCall) -> list[StreamEvent]:
        call = self._call(event)
        self._output.append(call)
        return call_events(call, len(self._output) - 1)

    def _finish(self, end: RunEnd) -> list[StreamEvent]:
        begun: list[StreamEvent] = []
        if not self._answered():  # an answer without a word has its message too
            _, begun = self._begun(GrowingMessage)
        events = [*begun, *self._ended(_item_status(end))]
        response = self._complete(end)
        cut = response.status == "incomplete"
        return [*events, Incomplete(response=response) if cut else Completed(response=response)]

    def _answered(self) -> bool:
        """Whether there is anything but thinking."""
        said = any(not isinstance(item, ReasoningItem) for item in self._output)
        return said or isinstance(self._growing, GrowingMessage)

    def _complete(self, end: RunEnd) -> ResponseOut:
        cut = end.reason == "length"
        prompt, completion = end.usage.prompt_tokens, end.usage.completion_tokens
        return msgspec.structs.replace(
            self._frame,
            status="incomplete" if cut else "completed",
            incomplete_details=IncompleteOut("max_output_tokens") if cut else None,
            output=tuple(self._output),
            usage=UsageOut(prompt, completion, prompt + completion),
        )

    def _failed(self, failure: Failure) -> ResponseOut:
        """The response with what there is of it; code is one of the official client's words."""
        code = "invalid_prompt" if failure.status < 500 else "server_error"
        self._ended("incomplete")
        return msgspec.structs.replace(
            self._frame,
            status="failed",
            error=ErrorOut(code, failure.message),
            output=tuple(self._output),
        )

    def _call(self, event: ToolCall) -> CallItem:
        arguments = _encode(event.arguments).decode()
        item_id = self._item_id("fc")
        return CallItem(item_id, "completed", event.call_id, event.name, arguments)

    def _item_id(self, prefix: str) -> str:
        """An id of the next item, made from the response's own."""
        return f"{prefix}_{self._frame.id.removeprefix('resp_')}{len(self._output):02x}"

    def _send(self, events: Sequence[StreamEvent]) -> bytes:
        first: list[StreamEvent] = []
        if not self._sent:
            first = [Created(response=self._frame), InProgress(response=self._frame)]
        return b"".join(self._numbered(event) for event in (*first, *events))

    def _numbered(self, event: StreamEvent) -> bytes:
        event.sequence_number = self._sent
        self._sent += 1
        return sse(_encode(event), str(event.__struct_config__.tag))


def _item_status(end: RunEnd) -> ItemStatus:
    return "incomplete" if end.reason == "length" else "completed"
