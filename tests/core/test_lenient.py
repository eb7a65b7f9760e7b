"""Tool calls that a model wrote as text."""

import pytest

from atoll.core.lenient import calls_in_text, may_be_call

KNOWN = {"weather"}


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"weather","arguments":{"town":"Turku"}}',
        ' \n{"name":"weather","parameters":{"town":"Turku"}} ',
        '```json\n{"name":"weather","arguments":{"town":"Turku"}}\n```',
        '<tool_call>{"name":"weather","arguments":{"town":"Turku"}}</tool_call>',
        '[{"name":"weather","arguments":{"town":"Turku"}}]',
        '{"function":{"name":"weather","arguments":{"town":"Turku"}}}',
        '{"name":"weather","arguments":"{\\"town\\":\\"Turku\\"}"}',
    ],
)
def test_every_way_small_models_write_a_call_is_read(text: str) -> None:
    (call,) = calls_in_text(text, KNOWN, 0)
    assert (call.name, call.arguments) == ("weather", {"town": "Turku"})


def test_half_an_emoji_in_a_call_is_taken_as_the_replacement_character() -> None:
    text = r'{"name":"weather","arguments":{"town":"cut: \ud83d"}}'
    (call,) = calls_in_text(text, KNOWN, 0)
    assert call.arguments == {"town": "cut: \ufffd"}


@pytest.mark.parametrize(
    "text",
    [
        "the weather is fine",
        '{"name":"format_disk","arguments":{}}',
        '{"name":3}',
        '{"town":"Turku"}',
        "{",
        "[" * 100_000,
        "",
        "```json\n```",
    ],
)
def test_anything_else_is_text(text: str) -> None:
    assert calls_in_text(text, KNOWN, 0) == ()


def test_two_calls_get_ids_of_their_own_that_count_on() -> None:
    one = '<tool_call>{"name":"weather","arguments":{}}</tool_call>'
    assert [call.id for call in calls_in_text(one + one, KNOWN, 3)] == [
        "call_00000003",
        "call_00000004",
    ]


@pytest.mark.parametrize("text", ["", " ", "{", "`", "```", "<tool", "<tool_call>{", "["])
def test_a_beginning_that_may_become_a_call_is_held_back(text: str) -> None:
    assert may_be_call(text)


@pytest.mark.parametrize("text", ["The", "<b>", "`x", "12"])
def test_a_beginning_that_cannot_become_a_call_is_let_through(text: str) -> None:
    assert not may_be_call(text)
