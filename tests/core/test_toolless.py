"""Conversations with tools are told to models without tools."""

from atoll.adapters.toolless import without_tool_roles
from atoll.wire.messages import Call, Message


def test_calls_and_results_become_plain_messages():
    call = Call("c", "weather", {"city": "Turku"})
    plain = without_tool_roles(
        (
            Message(role="user", content="how is it"),
            Message(role="assistant", content="I look.", calls=(call,)),
            Message(role="tool", content="sunny", tool_name="weather"),
        )
    )
    assert plain == (
        Message(role="user", content="how is it"),
        Message(role="assistant", content='I look.\nI used weather with {"city":"Turku"}.'),
        Message(role="user", content="weather returned:\nsunny"),
    )
