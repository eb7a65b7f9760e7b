"""Tools for models that have none: the choice, and how a result is told."""

import jsonschema
import pytest

from atoll.core.decide import decide_messages, decide_schema, decided, informed, shortlist
from atoll.wire.messages import Call, Message, ToolSpec

TOWN = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
WEATHER = ToolSpec("weather", "The weather in a town.", TOWN)
PORTS = ToolSpec("listening_ports", "Open ports.", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("choice", "is_valid"),
    [
        ({"name": "weather", "arguments": {"town": "Turku"}}, True),
        ({"name": "answer", "arguments": {}}, True),
        ({"name": "weather", "arguments": {}}, False),
        ({"name": "format_disk", "arguments": {}}, False),
        ({"name": "weather"}, False),
        ({"name": "answer", "arguments": {}, "more": 1}, False),
    ],
)
def test_the_schema_allows_known_tools_with_their_arguments_and_the_answer(
    choice: dict[str, object], is_valid: bool
) -> None:
    validator = jsonschema.Draft202012Validator(decide_schema([WEATHER, PORTS]))
    assert validator.is_valid(choice) is is_valid


def test_the_choice_is_put_to_the_model_after_the_conversation() -> None:
    asked = (Message(role="user", content="rain?"),)
    *before, choice = decide_messages(asked, [WEATHER])
    assert tuple(before) == asked
    assert "- weather: The weather in a town." in choice.content
    assert "- answer: " in choice.content


def test_only_a_known_tool_is_a_decision() -> None:
    assert decided('{"name":"weather","arguments":{"town":"Turku"}}', [WEATHER], 0) is not None
    assert decided('{"name":"answer","arguments":{}}', [WEATHER], 0) is None
    assert decided("Turku is rainy", [WEATHER], 0) is None


def test_a_result_is_told_before_the_last_question() -> None:
    asked = (
        Message(role="system", content="be short"),
        Message(role="user", content="rain?", images=("aGk=",)),
    )
    told = informed(asked, Call("call_1", "weather", {}), "wet")
    assert told[0] == asked[0]
    assert told[1] == Message(role="user", content="weather says:\nwet\n\nrain?", images=("aGk=",))


def test_a_result_without_a_question_is_a_message_of_its_own() -> None:
    assert informed((), Call("call_1", "weather", {}), "wet") == (
        Message(role="user", content="weather says:\nwet"),
    )


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Which ports are open?", ["listening_ports"]),
        ("weather in Turku, please", ["weather"]),
        ("good morning", ["weather", "listening_ports"]),
        ("", ["weather", "listening_ports"]),
    ],
)
def test_a_tool_that_the_question_names_is_not_left_to_chance(
    question: str, names: list[str]
) -> None:
    assert [tool.name for tool in shortlist(question, [WEATHER, PORTS])] == names
