"""One turn's events as the chunks of `/v1/completions`, and as its one object. Pure.

There is no place for thinking or tool calls in this dialect; upstream leaves
the thinking out too. A failure is an error event, after which nothing comes.
"""

from typing import assert_never

import msgspec

from atoll.http.answer import Answer
from atoll.http.faults import envelope
from atoll.http.openai.legacy_wire import TextChoice, TextCompletion
from atoll.http.openai.projection import FINGERPRINT
from atoll.http.openai.wire import UsageOut
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


class TextProjection:
    """Writes `/v1/completions`; id, time and model are the same in every chunk."""

    media_type = EVENT_STREAM

    def __init__(self, completion_id: str, created: int, model: str, *, usage: bool) -> None:
        self._id = completion_id
        self._created = created
        self._model = model
        self._usage = usage

    def line(self, event: Event) -> bytes:
        """The server-sent events of one event, b"" when it has none."""
        match event:
            case Token():
                return self._chunk(event.text)
            case RunEnd():
                return self._end(event)
            case Failure():
                return sse(_encode(envelope(event)))
            case (
                RunStart()
                | StepStart()
                | Reasoning()
                | ToolCall()
                | ToolResult()
                | Planning()
                | Warning()
                | Below()
            ):
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object without `stream`."""
        choice = TextChoice(answer.text, 0, answer.end.reason)
        return _encode(self._made([choice], _usage(answer.end.usage)))

    def _end(self, end: RunEnd) -> bytes:
        finish = self._chunk("", end.reason)
        usage = sse(_encode(self._made([], _usage(end.usage)))) if self._usage else b""
        return finish + usage + sse(b"[DONE]")

    def _chunk(self, text: str, reason: str | None = None) -> bytes:
        return sse(_encode(self._made([TextChoice(text, 0, reason)])))

    def _made(self, choices: list[TextChoice], usage: UsageOut | None = None) -> TextCompletion:
        return TextCompletion(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._model,
            system_fingerprint=FINGERPRINT,
            choices=choices,
            usage=usage,
        )


def _usage(usage: Usage) -> UsageOut:
    total = usage.prompt_tokens + usage.completion_tokens
    return UsageOut(usage.prompt_tokens, usage.completion_tokens, total)
