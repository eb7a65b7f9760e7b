"""Ollama's `context`: ints that stand for a conversation kept in the agent's session store.

128 random bits as eight ints: opaque, and nobody's to guess. Each answer gets
its own, as upstream's do, so that a client can go back and branch off.
"""

import logging
import secrets
from collections.abc import Sequence

from atoll.errors import AtollError, ClientError
from atoll.ports import SessionStore
from atoll.wire.memory import ONE_ANSWER
from atoll.wire.messages import Message

_INTS = 8

_log = logging.getLogger("atoll.http")


async def recalled(store: SessionStore, context: Sequence[int] | None) -> tuple[Message, ...]:
    """The conversation `context` stands for; raises ClientError when it is not known (any more).

    Going on without it would be a model that silently forgets.
    """
    if not context:
        return ()
    messages = await store.load(_session_id(context))
    if messages is None:
        raise ClientError("the context is unknown or has expired; send the prompt without it")
    return messages


async def remembered(store: SessionStore, messages: Sequence[Message]) -> list[int]:
    """Store a conversation and give the context that stands for it.

    Empty when it cannot be kept: the answer is there, and is not thrown away for that.
    """
    context = [secrets.randbits(16) for _ in range(_INTS)]
    try:
        await store.save(_session_id(context), messages)
    except AtollError as error:
        _log.warning("an answer goes out without its context: %s", error)
        return []
    return context


def _session_id(context: Sequence[int]) -> str:
    return ONE_ANSWER + "-".join(str(number) for number in context[: _INTS + 1])
