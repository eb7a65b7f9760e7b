"""How much of a conversation a model is shown. Pure.

The rule: whole exchanges leave, the oldest first, until the rest fits into three
quarters of the model's context, less what the agent's own prompt and tools take. An
exchange is a user's message and all up to the next one. System messages and the last
exchange always stay. Nothing is cut in two, and nobody is left to guess: who asks is
told how many messages were left out.
"""

from collections.abc import Sequence

from atoll.wire.messages import Message

CHARS_PER_TOKEN = 4
"""A common rule of thumb for English."""
SHARE = 0.75
"""Of the context; the rest is for the answer, and for where the rule of thumb is wrong."""


def room_of(context: int, overhead: int = 0) -> int:
    """Characters of a conversation that fit into so many tokens beside an overhead of characters.

    The overhead is what else the model is told: its system prompt and its tools.
    """
    return int(context * CHARS_PER_TOKEN * SHARE) - overhead


def fitted(
    messages: Sequence[Message], context: int, overhead: int = 0
) -> tuple[tuple[Message, ...], int]:
    """What to show of `messages` to a model of so many tokens, and how many are left out.

    A context of 0 is unknown: all are shown.
    """
    if not context:
        return tuple(messages), 0
    fixed = [message for message in messages if message.role == "system"]
    exchanges = exchanges_of([message for message in messages if message.role != "system"])
    room = room_of(context, overhead) - size_of(fixed)
    shown: list[list[Message]] = []
    for exchange in reversed(exchanges):
        room -= size_of(exchange)
        if room < 0 and shown:
            break
        shown.insert(0, exchange)
    kept = (*fixed, *(message for exchange in shown for message in exchange))
    return kept, len(messages) - len(kept)


def exchanges_of(messages: Sequence[Message]) -> list[list[Message]]:
    """The conversation in its exchanges, the oldest first."""
    found: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not found:
            found.append([])
        found[-1].append(message)
    return found


def size_of(messages: Sequence[Message]) -> int:
    """Characters of what a model reads of them."""
    return sum(len(message.content) + len(message.thinking) for message in messages)
