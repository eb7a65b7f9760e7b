"""What a chat template tells of its model."""

from atoll.ports import Capability

_THINKING = ("enable_thinking", "reasoning_content")
"""A switch for it, and a place for it beside the text; llama.cpp finds no thoughts without that."""


def abilities(template: str) -> tuple[Capability, ...]:
    """What llama.cpp can do with it: tools where it names them, thinking where it can be switched.

    llama.cpp reads from the template too how calls and thoughts stand in a text.
    """
    found: list[Capability] = ["completion"]
    if "tools" in template:
        found.append("tools")
    if all(word in template for word in _THINKING):
        found.append("thinking")
    return tuple(found)
