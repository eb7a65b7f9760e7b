"""A turn as fleet-rlm's events. Pure."""

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from msgspec import to_builtins

from atoll.http.fleet_rlm.wire import Kind, Trace
from atoll.http.trajectory import flat, trajectory_of
from atoll.loop.live_turn import CANCELLED
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
from atoll.wire.json import JsonObject, JsonValue


class Said(NamedTuple):
    """One event of the dialect, without its time."""

    kind: Kind
    text: str
    payload: JsonObject


class FleetProjection:
    """Writes one turn.

    `trace` "off" leaves out thinking and trajectory; "compact" tells each thought
    in one piece, "verbose" as it comes.
    """

    def __init__(self, session_id: str, turn_id: str, trace: Trace) -> None:
        self._session_id = session_id
        self._turn_id = turn_id
        self._trace = trace
        self._thought: list[str] = []
        self._answer: list[str] = []
        self._steps: list[Event] = []

    def told(self, event: Event, history_turns: int = 0) -> Iterator[Said]:
        """What one event adds; `history_turns` of the session count for the last one."""
        if not isinstance(event, Reasoning) and self._thought:
            yield Said("reasoning_step", "".join(self._thought), {})
            self._thought = []
        match event:
            case RunStart():
                ids: JsonObject = {"session_id": self._session_id, "turn_id": self._turn_id}
                yield Said("status", "turn started", ids | {"model": event.model})
            case StepStart():
                at: JsonObject = {"step_index": event.step_index}
                yield Said("status", f"step {event.step_index + 1}", at)
            case Token():
                self._answer.append(event.text)
                if event.text:
                    yield Said("assistant_token", event.text, {})
            case Reasoning():
                yield from self._thinking(event)
            case ToolCall() | ToolResult():
                yield self._tool(event)
            case Planning():
                plan: JsonObject = {"plan": event.plan, "updated_plan": event.updated_plan}
                yield Said("plan_update", event.updated_plan or event.plan, plan)
            case Warning():
                yield Said("warning", event.message, {})
            case RunEnd() | Failure():
                yield from self._end(event, history_turns)
            case Below():
                yield from self._below(event)
            case _:
                assert_never(event)

    def _below(self, event: Below) -> Iterator[Said]:
        """The steps of an agent further down, as statuses: the page has no word for them."""
        path: list[JsonValue] = list(event.path)
        match event.event:
            case ToolCall(name=name, arguments=arguments):
                about: JsonObject = {"tool_name": name, "tool_args": arguments, "path": path}
                yield Said("status", f"{' → '.join(event.path)} calls {name}", about)
            case ToolResult(name=name, result=result):
                about = {"tool_name": name, "tool_output": result, "path": path}
                yield Said("status", f"{' → '.join(event.path)} has called {name}", about)
            case Warning(message=message) | Failure(message=message):
                yield Said("warning", message, {"path": path})
            case _:
                pass

    def _thinking(self, event: Reasoning) -> Iterator[Said]:
        self._steps.append(event)
        if self._trace == "verbose" and event.text:
            yield Said("reasoning_step", event.text, {})
        elif self._trace == "compact":
            self._thought.append(event.text)

    def _tool(self, event: ToolCall | ToolResult) -> Said:
        self._steps.append(event)
        about: JsonObject = {"tool_name": event.name, "call_id": event.call_id}
        if isinstance(event, ToolCall):
            about["tool_args"] = event.arguments
            return Said("tool_call", f"tool call: {event.name}", about)
        about["tool_output"] = event.result
        outcome = "failed" if event.failed else "completed"
        return Said("tool_result", f"tool result: {outcome}", about)

    def _end(self, event: RunEnd | Failure, history_turns: int) -> Iterator[Said]:
        about: JsonObject = {"session_id": self._session_id, "history_turns": history_turns}
        if event == CANCELLED:
            said = "".join(self._answer)
            yield Said("cancelled", f"{said}\n\n[cancelled]" if said else "[cancelled]", about)
        elif isinstance(event, Failure):
            yield Said("error", event.message, about | {"code": event.code, "who": event.who})
        else:
            yield from self._final(event, about)

    def _final(self, end: RunEnd, about: JsonObject) -> Iterator[Said]:
        steps = trajectory_of(self._steps)
        listed: list[JsonValue] = to_builtins(steps)
        if self._trace != "off":
            for step, data in zip(steps, listed, strict=True):
                place: JsonObject = {"step_index": step.index, "total_steps": len(steps)}
                place["step_data"] = data
                yield Said("trajectory_step", step.thought, place)
        about |= {"trajectory": listed, "trajectory_flat": flat(steps)}
        about |= {"steps": end.steps, "completed": end.completed}
        yield Said("final", end.answer, about)
