"""One connection's life: what ends it, and whether it has."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCResponse

from atoll.adapters.mcp.meter import Meter

MOST_BYTES = 4 << 20
"""Of one message. A longer one ends the connection, or, over HTTP, the request."""
ENDED = "the connection ended"
MESSAGES_A_SECOND = 500
"""Requests and notifications; more is a flood, which ends the connection."""
ANSWERS_A_SECOND = 5_000
"""The same for what claims to answer us."""

Read = SessionMessage | Exception


class Writes(Protocol):
    """Where the SDK puts what it sends; its own name for that is not public."""

    async def send(self, item: SessionMessage, /) -> None:
        """Send one message."""
        ...

    async def aclose(self) -> None:
        """Send no more."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None: ...


Streams = tuple[AsyncIterable[Read], Writes]
"""What a transport is to the SDK."""


class Lost(Exception):
    """A connection could not be made or is over, with the reason."""


class Link:
    """What the parts of one connection tell each other about its end."""

    def __init__(self) -> None:
        self.reason = ""
        self.over = False
        """Whether nothing will come any more."""
        self.stirred = asyncio.Event()
        """Set when the tools should be looked at, or the connection is over."""

    def note(self, reason: str) -> None:
        """The connection is over; the first reason stays."""
        self.reason = self.reason or reason
        self.end()

    def end(self) -> None:
        """The connection is over; what is raised, if anything is, says why."""
        self.over = True
        self.stirred.set()


@asynccontextmanager
async def watched(
    streams: Streams, link: Link
) -> AsyncGenerator[tuple[MemoryObjectReceiveStream[Read], Writes]]:
    """The same streams; their end is noted, and a flood is one."""
    read, write = streams
    inbox, incoming = anyio.create_memory_object_stream[Read](0)
    async with inbox, incoming, anyio.create_task_group() as group:
        group.start_soon(_pass_on, read, inbox, link)
        yield incoming, write
        group.cancel_scope.cancel()


async def _pass_on(
    read: AsyncIterable[Read], inbox: MemoryObjectSendStream[Read], link: Link
) -> None:
    answers, others = Meter(ANSWERS_A_SECOND), Meter(MESSAGES_A_SECOND)
    async with inbox:
        try:
            async for item in read:
                if not (answers if _is_answer(item) else others).passes():
                    return link.note("it sent more messages in a second than anybody can use")
                await inbox.send(item)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            pass
        return link.end()


def _is_answer(item: Read) -> bool:
    message = item.message if isinstance(item, SessionMessage) else None
    return isinstance(message, JSONRPCResponse | JSONRPCError)
