"""One connection to a server: which era it speaks, its tools, and calls of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from mcp import ClientSession, MCPError
from mcp.client.session import IncomingMessage
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    PaginatedRequestParams,
    Tool,
    ToolListChangedNotification,
)
from pydantic import ValidationError

from atoll import __version__
from atoll.adapters.mcp.link import Link, Streams, watched
from atoll.adapters.mcp.offers import MOST_TOOLS
from atoll.adapters.mcp.reasons import is_closed
from atoll.wire.json import JsonObject

PROBE = 3.0
"""Seconds that a server may take to say that it speaks the modern era."""


class Era:
    """What is remembered of a server from one connection to the next (protocols.md 2.4)."""

    def __init__(self) -> None:
        self.legacy = False
        """Whether it ended when it was asked for the modern era: it is not asked again."""


class Session:
    """A connection that is up. Every method raises MCPError, ValidationError or Lost."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    @property
    def era(self) -> str:
        """The protocol version that both sides speak."""
        return self._session.protocol_version or ""

    async def tools(self) -> list[Tool]:
        """What the server offers now, page by page, and not endlessly."""
        found: list[Tool] = []
        cursor: str | None = None
        while True:
            page = await self._session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            found += page.tools
            cursor = page.next_cursor
            if not cursor or not page.tools or len(found) > MOST_TOOLS:
                return found

    async def call(self, name: str, arguments: JsonObject) -> CallToolResult:
        """Call a tool.

        Not by the SDK's `call_tool`: that checks the result against the server's
        own schema, whose patterns may keep this process busy for ever.
        """
        params = CallToolRequestParams(name=name, arguments={**arguments})
        return await self._session.send_request(CallToolRequest(params=params), CallToolResult)


@asynccontextmanager
async def opened(
    transport: AbstractAsyncContextManager[Streams], link: Link, era: Era
) -> AsyncGenerator[Session]:
    """Connect and agree on an era; what can be raised is anything that the transport raises."""

    async def hear(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            link.stirred.set()

    async with (
        transport as streams,
        watched(streams, link) as (read, write),
        ClientSession(
            read,
            write,
            message_handler=hear,
            client_info=Implementation(name="atoll", version=__version__),
        ) as session,
    ):
        await _agree(session, era)
        yield Session(session)


async def _agree(session: ClientSession, era: Era) -> None:
    """The modern era if the server says so in time, else the legacy one (protocols.md 2.4).

    A modern server that was slow to start refuses the legacy opening; it is
    asked once more.
    """
    if not era.legacy and await _is_modern(session, era):
        return
    try:
        await session.initialize()
    except MCPError as refused:
        try:
            await session.discover()
        except (MCPError, ValidationError, RuntimeError):
            raise refused from None


async def _is_modern(session: ClientSession, era: Era) -> bool:
    try:
        async with asyncio.timeout(PROBE):
            await session.discover()
    except (TimeoutError, MCPError, ValidationError, RuntimeError) as error:
        era.legacy = is_closed(error)
        return False
    return True
