"""A model that repeats its calls: what runs, what it is told, and when it is stopped."""

from itertools import count

import pytest

from atoll.core.loop import Ask, Finish, Plan, Replied, RunTools, State, ToolsRan, begin, step
from atoll.core.repetition import distinct, key_of
from atoll.wire.messages import Call, Message, ToolSpec

STATUS = ToolSpec("status", "how far a job is", {"type": "object"})
EDIT = ToolSpec("edit", "change a file", {"type": "object"})
ASKED = (Message(role="user", content="is the job done?"),)
NEW_IDS = count()


def called(name: str = "status", **arguments: object) -> Call:
    return Call(f"call_{next(NEW_IDS)}", name, arguments or {"job": 7})


def begun(force_answer: bool = True) -> State:
    plan = Plan(agent_tools=(STATUS, EDIT), native=True, max_steps=100, force_answer=force_answer)
    return begin(plan, ASKED)[0]


def after(state: State, *steps: tuple[Call, str]) -> tuple[State, Ask | Finish]:
    """One call a step, each of which runs, with its result."""
    action: object = None
    for call, result in steps:
        state, action = step(state, Replied("", (call,), "stop"))
        assert action == RunTools((call,)), "it runs whenever the model asks"
        state, action = step(state, ToolsRan((call,), (result,)))
    assert isinstance(action, Ask | Finish)
    return state, action


def told(state: State) -> list[str]:
    return [message.content for message in state.messages if message.role == "tool"]


def test_the_first_repeat_without_news_is_told_as_one_with_its_result() -> None:
    state, action = after(begun(), (called(), "running"), (called(), "running"))
    assert isinstance(action, Ask)
    assert action.tools, "it may go on"
    first, second = told(state)
    assert first == "running"
    assert second.startswith("You called status before with the same arguments")
    assert second.endswith("The result was:\nrunning")


def test_with_the_fourth_equal_call_and_result_the_last_answer_is_forced() -> None:
    state, action = after(begun(), *[(called(), "running") for _ in range(4)])
    assert isinstance(action, Ask)
    assert action.tools == ()
    assert "again and again" in action.messages[-1].content
    _, last = step(state, Replied("It still runs.", (), "stop"))
    assert last == Finish("It still runs.", ended_by="repeats")


def test_no_last_answer_is_forced_on_a_caller_who_said_no() -> None:
    _, action = after(begun(force_answer=False), *[(called(), "running") for _ in range(4)])
    assert action == Finish("", ended_by="repeats")


def test_a_poll_whose_result_changes_is_never_stopped() -> None:
    state, action = after(begun(), *[(called(), f"{done} %") for done in range(50)])
    assert isinstance(action, Ask)
    assert action.tools
    assert told(state) == [f"{done} %" for done in range(50)]


def test_the_same_call_after_another_that_told_something_new_begins_again() -> None:
    """Tests are run again after each change, and may fail as before."""
    steps = [
        one
        for change in range(20)
        for one in ((called("edit", line=change), f"{change} is written"), (called(), "it fails"))
    ]
    _, action = after(begun(), *steps)
    assert isinstance(action, Ask)
    assert action.tools


def test_two_calls_by_turns_without_news_are_the_same_loop() -> None:
    pair = [(called(), "running"), (called("edit", line=1), "written")]
    _, action = after(begun(), *pair, *pair, *pair[:1])
    assert isinstance(action, Ask)
    assert action.tools == ()


def test_one_new_result_among_parallel_calls_is_news() -> None:
    state, same = begun(), called()
    for number in range(20):
        other = called("edit", line=number)
        state, action = step(state, Replied("", (same, other), "stop"))
        assert action == RunTools((same, other))
        state, action = step(state, ToolsRan((same, other), ("running", str(number))))
        assert isinstance(action, Ask)
        assert action.tools


def test_the_same_call_twice_in_one_reply_runs_once_and_stands_once() -> None:
    first, twin, other = called(a=1, b=2), called(b=2, a=1), called("edit", line=1)
    state, action = step(begun(), Replied("", (first, other, twin), "stop"))
    assert action == RunTools((first, other))
    assert state.messages[-1].calls == (first, other)


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, "")])
def test_arguments_that_only_look_equal_are_different_calls(one: object, other: object) -> None:
    assert len(distinct([called(x=one), called(x=other)])) == 2


@pytest.mark.parametrize("value", [10**40, -(10**40), 1e400, "\ud800", {"a": [None, {}]}, "é" * 9])
def test_any_argument_has_a_key(value: object) -> None:
    assert key_of(called(x=value)) == key_of(called(x=value))
