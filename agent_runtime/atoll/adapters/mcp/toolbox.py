"""The tools of all servers of an agent, as one Toolbox."""

import asyncio
from collections.abc import Sequence

from atoll.adapters.allowed import is_allowed
from atoll.adapters.mcp.server import ToolServer
from atoll.ports import Outcome
from atoll.wire.messages import Call, ToolSpec


class McpTools:
    """The Toolbox over servers; a tool's name is `server.tool`."""

    def __init__(self, servers: Sequence[ToolServer], allow: tuple[str, ...]) -> None:
        # Of the servers `a` and `a.b` the second one is meant by `a.b.c`, here and in a call.
        self._servers = sorted(servers, key=lambda server: len(server.name), reverse=True)
        self._allow = allow

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that exist for the model now."""
        found: dict[str, ToolSpec] = {}
        for server in self._servers:
            for offer in server.offers:
                name = f"{server.name}.{offer.name}"
                if is_allowed(name, self._allow):
                    found.setdefault(name, ToolSpec(name, offer.description, offer.parameters))
        return tuple(found.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Servers that do not work, and tools that changed."""
        return tuple(words for server in self._servers for words in server.warnings)

    async def start(self) -> None:
        """Start all servers at once; returns when each one is up, has failed or takes too long."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.start())

    async def call(self, call: Call) -> Outcome:
        """Run one tool; every fault of its server comes back as a failed Outcome."""
        for server in self._servers:
            tool = call.name.removeprefix(f"{server.name}.")
            if tool != call.name and is_allowed(call.name, self._allow):
                return await server.call(tool, call.arguments)
        known = ", ".join(spec.name for spec in self.specs) or "none"
        return Outcome(f"there is no tool {call.name!r}; known tools: {known}", failed=True)

    async def close(self) -> None:
        """End every connection and every process."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.close())
