"""What a chat template tells of its model."""

import pytest

from atoll.adapters.chat_template import abilities

SWITCH = "{% if enable_thinking %}"
PLACE = "{{ message.reasoning_content }}"


@pytest.mark.parametrize(
    ("template", "more"),
    [
        ("", ()),
        ("{{ messages }}", ()),
        ("{% if tools %}", ("tools",)),
        (SWITCH + PLACE, ("thinking",)),
        ("{% if tools %}" + SWITCH + PLACE, ("tools", "thinking")),
        (SWITCH + "<think></think>", ()),
        (PLACE, ()),
    ],
)
def test_tools_by_their_name_and_thinking_by_its_switch_and_its_place(template: str, more):
    """Without a place llama.cpp leaves the thoughts in the text."""
    assert abilities(template) == ("completion", *more)
