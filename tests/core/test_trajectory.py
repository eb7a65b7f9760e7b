"""What an agent did, in both shapes."""

from atoll.http.trajectory import TrajectoryStep, flat, trajectory_of
from atoll.wire.events import Event, Reasoning, Token, ToolCall, ToolResult

TURN: list[Event] = [
    Reasoning("first "),
    Reasoning("this"),
    ToolCall("a", "look", {"at": 1}),
    ToolCall("b", "look", {"at": 2}),
    ToolResult("b", "look", "two"),
    ToolResult("a", "look", "one"),
    Token("hm"),
    Reasoning("then that"),
    ToolCall("c", "write", {}),
]


def test_each_call_has_the_thinking_before_it_and_its_own_result() -> None:
    """Calls that run at once come in the order of the calls; one that was cut off has no result."""
    assert trajectory_of(TURN) == (
        TrajectoryStep(0, "first this", "look", {"at": 1}, "one", "one"),
        TrajectoryStep(1, "", "look", {"at": 2}, "two", "two"),
        TrajectoryStep(2, "then that", "write", {}, "", ""),
    )


def test_the_flat_shape_numbers_its_keys() -> None:
    assert flat(trajectory_of(TURN[:2] + TURN[3:5])) == {
        "thought_0": "first this",
        "tool_name_0": "look",
        "tool_args_0": {"at": 2},
        "observation_0": "two",
    }
    assert flat(()) == {}
