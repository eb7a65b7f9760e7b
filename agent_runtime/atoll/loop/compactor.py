"""Performs the compaction of a session that has grown too long for its model."""

import logging
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from msgspec import Struct

from atoll.core.compaction import condensed, due, failed, most_tokens, wish
from atoll.core.history import room_of
from atoll.errors import ClientError, UpstreamError
from atoll.loop.hidden_call import Said
from atoll.ports import ModelInfo, ModelRequest
from atoll.wire.memory import Memory, Summary
from atoll.wire.messages import Message, Options, Usage

AskModel = Callable[[ModelRequest], Awaitable[Said]]

_log = logging.getLogger("atoll.loop")


class Compacted(Struct, frozen=True):
    """The session as it is now; `usage` is what it cost when it was tried, else None."""

    memory: Memory
    usage: Usage | None = None


class Compactor:
    """`[session] compaction`: "summary" has the model write one, "window" never asks it."""

    def __init__(self, rule: Literal["summary", "window"], ask: AskModel) -> None:
        self._rule = rule
        self._ask = ask

    async def compacted(
        self, memory: Memory, question: Message, info: ModelInfo, overhead: int
    ) -> Compacted:
        """The session with a new summary where one is due and the model can; raises Busy.

        `overhead` are the characters that the model is told besides.
        """
        if self._rule == "window":
            return Compacted(msgspec.structs.replace(memory, summary=Summary()))
        room = room_of(info.context_length, overhead)
        if info.context_length <= 0 or info.backend == "demo":  # the demo has no words of its own
            return Compacted(memory)
        covers = due(memory, question, room)
        return await self._tried(memory, covers, info, room) if covers else Compacted(memory)

    async def _tried(self, memory: Memory, covers: int, info: ModelInfo, room: int) -> Compacted:
        request = ModelRequest(
            messages=wish(memory, covers, room),
            options=Options(temperature=0.0, max_tokens=most_tokens(room)),
            think=False if "thinking" in info.capabilities else None,
        )
        try:
            said = await self._ask(request)
        except (UpstreamError, ClientError) as error:
            _log.warning("the model wrote no summary of a session: %s", error)
            return Compacted(msgspec.structs.replace(memory, summary=failed(memory)), Usage())
        used = said.usage.prompt_tokens + said.usage.completion_tokens
        summary = condensed(memory, covers, "" if said.is_cut else said.text)
        now = msgspec.structs.replace(memory, summary=summary, tokens=memory.tokens + used)
        return Compacted(now, said.usage)
