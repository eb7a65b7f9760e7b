"""A turn as Kawai's stream of events, and as the one answer of `POST /chat`. Pure.

The stream holds nothing but `data:` lines and blank ones: the page's own client
breaks on anything else, on ids too, so those are only for who asks for them.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_never

import msgspec

from atoll.http.faults import TurnFailed
from atoll.http.kawai.wire import ChatAnswer, Kind, StreamEvent
from atoll.http.sse import sse
from atoll.http.trajectory import flat, trajectory_of
from atoll.wire.events import (
    INTERNAL,
    Below,
    Event,
    Failure,
    OwnEvent,
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
from atoll.wire.json import JsonValue

Data = dict[str, JsonValue]

_encode = msgspec.json.Encoder().encode


class KawaiProjection:
    """Writes `/stream`; thinking that comes in pieces is one event, before what follows it.

    What children do is told under `path`, the names from the agent called `name`
    down to them. Their turns begin and end inside a tool call, so they have no
    `run_start`, `run_end` or `error` of their own: clients take those for this turn's.
    """

    def __init__(self, session_id: str, name: str) -> None:
        self._session_id = session_id
        self._name = name
        self._thoughts: dict[str, list[str]] = {}

    def events(self, event: Event, at: float) -> bytes:
        """What one event of that time (seconds since the epoch) adds to the stream, or b""."""
        run_id, own = (event.run_id, event.event) if isinstance(event, Below) else ("", event)
        if isinstance(own, Reasoning):
            self._thoughts.setdefault(run_id, []).append(own.text)
            return b""
        stamp = datetime.fromtimestamp(at, UTC).isoformat()
        whose: Data = {"path": [self._name, *event.path]} if isinstance(event, Below) else {}
        pairs = self._below(run_id, own) if isinstance(event, Below) else self._told(run_id, own)
        told = (StreamEvent(kind, data | whose, stamp) for kind, data in pairs)
        return b"".join(sse(_encode(one)) for one in told)

    def _below(self, run_id: str, event: OwnEvent) -> Iterator[tuple[Kind, Data]]:
        for kind, data in self._told(run_id, event):
            if kind == "error":
                yield "warning", {"message": data["error"]}
            elif kind not in ("run_start", "run_end"):
                yield kind, data

    def _told(self, run_id: str, event: OwnEvent) -> Iterator[tuple[Kind, Data]]:
        if thought := "".join(self._thoughts.pop(run_id, ())):
            yield "reasoning", {"reasoning": thought}
        match event:
            case RunStart():
                about: Data = {"prompt": event.prompt, "model": event.model}
                yield "run_start", about | {"session_id": self._session_id}
            case StepStart():
                yield "step_start", {"step_index": event.step_index}
            case ToolCall():
                yield "tool_call", {"tool_name": event.name, "tool_arguments": event.arguments}
            case ToolResult():
                yield "tool_result", {"tool_name": event.name, "tool_result": _parsed(event.result)}
            case Planning():
                yield "planning", {"plan": event.plan, "updated_plan": event.updated_plan}
            case Warning():
                yield "warning", {"message": event.message}
            case RunEnd():
                yield "run_end", {"answer": event.answer, "session_id": self._session_id}
            case Failure():
                yield "error", {"error": event.message, "code": event.code, "who": event.who}
            case Token() | Reasoning():
                pass
            case _:
                assert_never(event)


def answer_of(events: Sequence[Event], session_id: str, history_turns: int) -> ChatAnswer:
    """The whole turn; raises TurnFailed when it did."""
    end = events[-1] if events else INTERNAL
    if isinstance(end, Failure):
        raise TurnFailed(end)
    if not isinstance(end, RunEnd):
        raise TurnFailed(INTERNAL)
    trajectory = trajectory_of(events)
    plans = [event.updated_plan or event.plan for event in events if isinstance(event, Planning)]
    return ChatAnswer(
        answer=end.answer,
        response=end.answer,
        assistant_response=end.answer,
        session_id=session_id,
        steps=end.steps,
        completed=end.completed,
        plan=plans[-1] if plans else None,
        trajectory=trajectory,
        trajectory_flat=flat(trajectory),
        history_turns=history_turns,
    )


def _parsed(result: str) -> JsonValue:
    """A tool's result as JSON where it is some, as Kawai does."""
    try:
        value: JsonValue = msgspec.json.decode(result)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return result
    return value
