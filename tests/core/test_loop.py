"""The agent loop's decisions, as tables of what happened and what follows."""

import msgspec
import pytest

from atoll.core.loop import (
    Announce,
    Announced,
    Ask,
    Finish,
    HandOver,
    Plan,
    Replied,
    RunTools,
    ToolsRan,
    begin,
    step,
)
from atoll.wire.messages import Call, Message, ToolSpec

WEATHER = ToolSpec("weather", "the weather in a town", {"type": "object"})
LOOKUP = ToolSpec("lookup", "look a word up", {"type": "object"})
ASKED = (Message(role="user", content="is it raining in Turku?"),)
CALL = Call("call_1", "weather", {"town": "Turku"})


def replied(text: str = "", *calls: Call) -> Replied:
    return Replied(text, calls, "stop")


def test_a_turn_without_tools_is_one_question_and_its_answer() -> None:
    state, action = begin(Plan(), ASKED)
    assert action == Ask(messages=ASKED)
    _, action = step(state, replied("it is"))
    assert action == Finish("it is")


def test_the_reason_why_the_model_stopped_reaches_the_end() -> None:
    state, _ = begin(Plan(), ASKED)
    _, action = step(state, Replied("it is rai", (), "length"))
    assert action == Finish("it is rai", "length")


def test_a_native_call_runs_and_its_result_goes_back_to_the_model() -> None:
    state, action = begin(Plan(agent_tools=(WEATHER,), native=True), ASKED)
    assert isinstance(action, Ask)
    assert action.tools == (WEATHER,)
    state, action = step(state, replied("", CALL))
    assert action == RunTools((CALL,))
    state, action = step(state, ToolsRan((CALL,), ("rain",)))
    assert isinstance(action, Ask)
    assert action.messages[-2:] == (
        Message(role="assistant", calls=(CALL,)),
        Message(role="tool", content="rain", tool_name="weather", call_id="call_1"),
    )
    _, action = step(state, replied("yes"))
    assert action == Finish("yes")


def test_a_call_written_as_text_counts_when_the_tool_is_known() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,), native=True), ASKED)
    text = '```json\n{"name": "weather", "arguments": {"town": "Turku"}}\n```'
    _, action = step(state, replied(text))
    assert isinstance(action, RunTools)
    assert action.calls[0].name == "weather"
    assert action.calls[0].arguments == {"town": "Turku"}


def test_a_call_of_an_unknown_tool_written_as_text_is_an_answer() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,), native=True), ASKED)
    text = '{"name": "hello", "arguments": {}}'
    _, action = step(state, replied(text))
    assert action == Finish(text)


def test_a_call_of_the_clients_tool_ends_the_turn() -> None:
    state, _ = begin(Plan(client_tools=(WEATHER,), native=True), ASKED)
    _, action = step(state, replied("let me see", CALL))
    assert action == HandOver((CALL,), "let me see")


def test_the_agents_own_calls_run_before_the_clients_are_asked_again() -> None:
    plan = Plan(agent_tools=(LOOKUP,), client_tools=(WEATHER,), native=True)
    state, _ = begin(plan, ASKED)
    own = Call("call_2", "lookup", {"word": "rain"})
    state, action = step(state, replied("", CALL, own))
    assert action == RunTools((own,))
    assert state.messages[-1].calls == (own,)


def test_a_format_is_kept_for_the_answer_after_the_tools() -> None:
    schema = {"type": "object"}
    plan = Plan(agent_tools=(WEATHER,), native=True, format=schema)
    state, action = begin(plan, ASKED)
    assert isinstance(action, Ask)
    assert (action.format, action.visible) == (None, False)
    state, action = step(state, replied("no tool needed"))
    assert isinstance(action, Ask)
    assert (action.format, action.visible, action.tools) == (schema, True, ())
    _, action = step(state, replied("{}"))
    assert action == Finish("{}")


def test_a_model_without_tools_decides_by_schema_and_never_in_sight() -> None:
    state, action = begin(Plan(agent_tools=(WEATHER,)), ASKED)
    assert isinstance(action, Ask)
    assert (action.visible, action.exact, action.tools) == (False, True, ())
    assert msgspec.json.encode(action.format).startswith(b'{"anyOf":[')
    state, action = step(state, replied('{"name":"weather","arguments":{"town":"Turku"}}'))
    assert isinstance(action, RunTools)
    state, action = step(state, ToolsRan(action.calls, ("rain",)))
    assert isinstance(action, Ask)
    assert action.exact, "it decides again, with the result in the conversation"
    assert any("weather says:\nrain" in message.content for message in action.messages)
    assert all(message.role != "tool" for message in action.messages)


@pytest.mark.parametrize("text", ['{"name":"answer","arguments":{}}', "nonsense", "", "[" * 5000])
def test_a_decision_to_answer_or_an_unreadable_one_asks_for_the_answer(text: str) -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,)), ASKED)
    state, action = step(state, replied(text))
    assert action == Ask(messages=ASKED)
    _, action = step(state, replied("yes"))
    assert action == Finish("yes")


def test_a_decision_that_repeats_itself_is_taken_as_a_wish_to_answer() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,)), ASKED)
    chosen = replied('{"name":"weather","arguments":{"town":"Turku"}}')
    state, action = step(state, chosen)
    assert isinstance(action, RunTools)
    state, _ = step(state, ToolsRan(action.calls, ("rain",)))
    state, action = step(state, chosen)
    assert isinstance(action, Ask)
    assert action.visible


def test_when_the_steps_are_used_up_one_last_answer_is_asked_for() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,), native=True, max_steps=1), ASKED)
    state, _ = step(state, replied("", CALL))
    state, action = step(state, ToolsRan((CALL,), ("rain",)))
    assert isinstance(action, Ask)
    assert action.tools == ()
    _, action = step(state, replied("yes"))
    assert action == Finish("yes", ended_by="steps")


def test_no_last_answer_is_forced_on_a_caller_who_said_no() -> None:
    plan = Plan(agent_tools=(WEATHER,), native=True, max_steps=1, force_answer=False)
    state, _ = begin(plan, ASKED)
    state, _ = step(state, replied("", CALL))
    _, action = step(state, ToolsRan((CALL,), ("rain",)))
    assert action == Finish("", ended_by="steps")


@pytest.mark.parametrize("native", [True, False])
def test_a_plan_is_asked_for_first_announced_and_stands_behind_the_conversation(
    native: bool,
) -> None:
    plan = Plan(agent_tools=(WEATHER,), native=native, planning_interval=2)
    state, action = begin(plan, ASKED)
    assert isinstance(action, Ask)
    assert (action.tools, action.visible) == ((), False)
    assert action.messages[:-1] == ASKED
    state, action = step(state, replied(" 1. look "))
    assert action == Announce("1. look")
    state, action = step(state, Announced())
    assert isinstance(action, Ask)
    assert action.messages[1] == Message(role="system", content="Your plan:\n1. look")
    assert state.messages == ASKED, "it is no part of the conversation"


def test_a_new_plan_is_written_every_so_many_steps() -> None:
    plan = Plan(agent_tools=(WEATHER,), native=True, planning_interval=2)
    state, action = begin(plan, ASKED)
    state, _ = step(state, replied("old"))
    state, action = step(state, Announced())
    for town in ("Turku", "Oulu"):
        call = Call(f"call_{town}", "weather", {"town": town})
        state, _ = step(state, replied("", call))
        state, action = step(state, ToolsRan((call,), ("rain",)))
    assert isinstance(action, Ask)
    assert (action.tools, "Your plan:\nold" in action.messages[-2].content) == ((), True)
    state, action = step(state, replied("new"))
    assert action == Announce("old", "new")


def test_a_model_without_a_plan_goes_on_without_one() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,), native=True, planning_interval=1), ASKED)
    _, action = step(state, replied(" "))
    assert isinstance(action, Ask)
    assert (action.tools, action.messages) == ((WEATHER,), ASKED)


def test_without_tools_there_is_nothing_to_plan() -> None:
    _, action = begin(Plan(planning_interval=1), ASKED)
    assert action == Ask(messages=ASKED)


def test_a_tool_that_gives_the_final_answer_ends_the_turn() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,), native=True), ASKED)
    state, _ = step(state, replied("", CALL))
    _, action = step(state, ToolsRan((CALL,), ("told",), final="It rains."))
    assert action == Finish("It rains.")


def test_a_final_answer_counts_although_the_steps_are_used_up() -> None:
    state, _ = begin(Plan(agent_tools=(WEATHER,), native=True, max_steps=1), ASKED)
    state, _ = step(state, replied("", CALL))
    _, action = step(state, ToolsRan((CALL,), ("",), final=""))
    assert action == Finish("")
