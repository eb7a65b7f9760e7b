"""An agent's MCP tools over real servers, as tests use them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from atoll.adapters.mcp.opening import open_mcp
from atoll.adapters.mcp.toolbox import McpTools
from atoll.config.manifest import Agent, Manifest, McpServer, Tools
from atoll.ports import Outcome
from atoll.wire.json import JsonValue
from atoll.wire.messages import Call

LIMIT = 20.0


class Bench:
    """An agent's MCP tools, and what was said of them."""

    def __init__(self, tools: McpTools, said: list[str]) -> None:
        self.tools = tools
        self.said = said

    @property
    def names(self) -> list[str]:
        return [spec.name for spec in self.tools.specs]

    async def call(self, name: str, **arguments: JsonValue) -> Outcome:
        async with asyncio.timeout(LIMIT):
            return await self.tools.call(Call("1", name, {**arguments}))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not holds():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(
    folder: Path, tools: Tools | None = None, **servers: McpServer
) -> AsyncIterator[Bench]:
    manifest = Manifest(agent=Agent(name="X"), tools=tools or Tools(), mcp_servers=servers)
    said: list[str] = []
    environ = {**os.environ, "SECRET_OF_THE_AGENT": "hush"}
    async with asyncio.timeout(LIMIT):
        made = await open_mcp(manifest, folder, environ, said.append)
    try:
        yield Bench(made, said)
    finally:
        async with asyncio.timeout(LIMIT):
            await made.close()
