"""What an agent did in a turn, in the two shapes of fleet-rlm (seeds-contract.md section 4)."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from atoll.wire.events import Event, Reasoning, ToolCall, ToolResult
from atoll.wire.json import JsonObject


class TrajectoryStep(Struct, frozen=True):
    """One tool call with what came of it."""

    index: int
    thought: str
    tool_name: str
    input: JsonObject
    output: str
    observation: str


def trajectory_of(events: Iterable[Event]) -> tuple[TrajectoryStep, ...]:
    """The agent's tool calls in their order, each with the thinking before it and its result."""
    told = list(events)
    results = {event.call_id: event.result for event in told if isinstance(event, ToolResult)}
    steps: list[TrajectoryStep] = []
    thought: list[str] = []
    for event in told:
        if isinstance(event, Reasoning):
            thought.append(event.text)
        elif isinstance(event, ToolCall):
            result = results.get(event.call_id, "")
            before, thought = "".join(thought), []
            steps.append(
                TrajectoryStep(len(steps), before, event.name, event.arguments, result, result)
            )
    return tuple(steps)


def flat(steps: Sequence[TrajectoryStep]) -> JsonObject:
    """The same as DSPy has it: `thought_0`, `tool_name_0`, `tool_args_0`, `observation_0`, …"""
    told: JsonObject = {}
    for step in steps:
        told[f"thought_{step.index}"] = step.thought
        told[f"tool_name_{step.index}"] = step.tool_name
        told[f"tool_args_{step.index}"] = step.input
        told[f"observation_{step.index}"] = step.observation
    return told
