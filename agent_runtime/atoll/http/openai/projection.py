"""One turn's events as OpenAI's chunks, and as its one object. Pure.

The order of ollama-api.md 3.1: role once in the first chunk, a finish chunk,
usage only when asked for, then `[DONE]`. A failure is an error event, after
which nothing comes.
"""

from typing import assert_never

import msgspec

from atoll.http.answer import Answer
from atoll.http.faults import envelope
from atoll.http.openai.wire import (
    AlternativeOut,
    Choice,
    ChoiceLogprobs,
    ChunkChoice,
    Completion,
    CompletionChunk,
    Delta,
    FunctionOut,
    LogprobOut,
    MessageOut,
    ToolCallOut,
    UsageOut,
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
from atoll.wire.logprobs import Alternative, Logprob
from atoll.wire.messages import Usage

FINGERPRINT = "fp_ollama"

_encode = msgspec.json.Encoder().encode


class CompletionProjection:
    """Writes `/v1/chat/completions`; id, time and model are the same in every chunk."""

    media_type = b"text/event-stream"

    def __init__(self, completion_id: str, created: int, model: str, *, usage: bool) -> None:
        self._id = completion_id
        self._created = created
        self._model = model
        self._usage = usage
        self._calls = 0
        self._role = "assistant"

    def line(self, event: Event) -> bytes:
        """The server-sent events of one event, b"" when it has none."""
        match event:
            case Token():
                delta = Delta(self._first_role(), event.text)
                return self._chunk(delta, logprobs=event.logprobs)
            case Reasoning():
                delta = Delta(self._first_role(), "", event.text)
                return self._chunk(delta, logprobs=event.logprobs)
            case ToolCall(origin="client"):
                call = _tool_call(event, self._calls)
                self._calls += 1
                return self._chunk(Delta(self._first_role(), "", "", [call]))
            case RunEnd():
                return self._end(event)
            case Failure():
                return _event(_encode(envelope(event)))
            case RunStart() | StepStart() | ToolCall() | ToolResult() | Planning() | Warning():
                return b""
            case Below():  # an agent further down: no part of this answer
                return b""
            case _:
                assert_never(event)

    def whole(self, answer: Answer) -> bytes:
        """The one object without `stream`."""
        calls = [_tool_call(call, index) for index, call in enumerate(answer.calls)]
        message = MessageOut("assistant", answer.text, answer.thinking, calls)
        reason = _reason(answer.end, len(calls))
        return _encode(
            Completion(
                id=self._id,
                object="chat.completion",
                created=self._created,
                model=self._model,
                system_fingerprint=FINGERPRINT,
                choices=[Choice(0, message, reason, _logprobs(answer.logprobs))],
                usage=_usage(answer.end.usage),
            )
        )

    def _end(self, end: RunEnd) -> bytes:
        finish = self._chunk(Delta(self._first_role(), ""), _reason(end, self._calls))
        usage = _event(_encode(self._made([], _usage(end.usage)))) if self._usage else b""
        return finish + usage + _event(b"[DONE]")

    def _chunk(
        self, delta: Delta, reason: str | None = None, logprobs: tuple[Logprob, ...] = ()
    ) -> bytes:
        choice = ChunkChoice(0, delta, reason, _logprobs(logprobs))
        return _event(_encode(self._made([choice])))

    def _made(self, choices: list[ChunkChoice], usage: UsageOut | None = None) -> CompletionChunk:
        return CompletionChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._model,
            system_fingerprint=FINGERPRINT,
            choices=choices,
            usage=usage,
        )

    def _first_role(self) -> str:
        role, self._role = self._role, ""
        return role


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _reason(end: RunEnd, calls: int) -> str:
    return "tool_calls" if calls and end.reason == "stop" else end.reason


def _usage(usage: Usage) -> UsageOut:
    total = usage.prompt_tokens + usage.completion_tokens
    return UsageOut(usage.prompt_tokens, usage.completion_tokens, total)


def _tool_call(event: ToolCall, index: int) -> ToolCallOut:
    arguments = _encode(event.arguments).decode()
    return ToolCallOut(event.call_id, index, "function", FunctionOut(event.name, arguments))


def _logprobs(logprobs: tuple[Logprob, ...]) -> ChoiceLogprobs | None:
    if not logprobs:
        return None
    return ChoiceLogprobs(
        [
            LogprobOut(p.token, p.logprob, _bytes(p), [_alternative(a) for a in p.top_logprobs])
            for p in logprobs
        ]
    )


def _alternative(other: Alternative) -> AlternativeOut:
    return AlternativeOut(other.token, other.logprob, _bytes(other))


def _bytes(of: Alternative) -> list[int] | None:
    return list(of.bytes) or None
