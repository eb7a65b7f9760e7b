"""Ollama's `context`: ints that stand for a conversation kept in the agent's session store.

128 random bits as eight ints: opaque, and nobody's to guess. Each answer gets
its own, as upstream's do, so that a client can go back and branch off.
"""

import secrets
from collections.abc import Sequence

from atoll.errors import ClientError
from atoll.ports import SessionStore
from atoll.wire.messages import Message

_INTS = 8


def recalled(store: SessionStore, context: Sequence[int] | None) -> tuple[Message, ...]:
    """The conversation `context` stands for; raises ClientError when it is not known (any more).

    Going on without it would be a model that silently forgets.
    """
    if not context:
        return ()
    messages = store.load(_session_id(context))
    if messages is None:
        raise ClientError("the context is unknown or has expired; send the prompt without it")
    return messages


def remembered(store: SessionStore, messages: Sequence[Message]) -> list[int]:
    """Store a conversation and give the context that stands for it."""
    context = [secrets.randbits(16) for _ in range(_INTS)]
    store.save(_session_id(context), messages)
    return context


def _session_id(context: Sequence[int]) -> str:
    return "context-" + "-".join(str(number) for number in context[: _INTS + 1])
