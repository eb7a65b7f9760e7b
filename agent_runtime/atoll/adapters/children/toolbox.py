"""An agent's children beside its other tools, for one turn."""

import asyncio
from collections.abc import Mapping, Sequence

from atoll.adapters.children.caller import Caller
from atoll.adapters.children.child import Child
from atoll.adapters.children.directory import Directory
from atoll.adapters.tool_text import cut, sendable
from atoll.adapters.toolboxes import Toolboxes
from atoll.ports import Outcome, Toolbox
from atoll.wire.json import JsonObject
from atoll.wire.messages import Call, ToolSpec

AT_ONCE = 64
"""Calls of children that run at once in one agent; the others wait."""
KNOWN_FOR = 30.0
"""Seconds for which what is known of the fleet is good enough to describe children by."""
KNOWN_WITHIN = 1.0
"""Seconds that a turn waits for that."""
MOST_ABOUT = 600
"""Characters of a child's description."""

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "task": {
            "type": "string",
            "description": "What it is to do, in full: it sees nothing else of this conversation.",
        }
    },
    "required": ["task"],
    "additionalProperties": False,
}


class ChildrenTools:
    """The `Children` of an agent over the tables of a manifest."""

    def __init__(self, children: Sequence[Child], directory: Directory) -> None:
        self._children = {child.name: child for child in children}
        self._directory = directory
        self._places = asyncio.Semaphore(AT_ONCE)
        self._asks_the_fleet = any(not child.table.url for child in children)

    async def turn(self, rest: Toolbox, caller: Caller) -> Toolbox:
        """The agent's other tools and its children beside them."""
        if self._asks_the_fleet:
            await self._directory.known(KNOWN_FOR, KNOWN_WITHIN)
        own = _TurnChildren(self._children, caller, self._places)
        return Toolboxes((("another tool", rest), ("[sub_agents]", own)))

    async def close(self) -> None:
        """Give up every connection."""
        for child in self._children.values():
            await child.close()
        await self._directory.close()


class _TurnChildren:
    """The Toolbox of one turn."""

    def __init__(
        self, children: Mapping[str, Child], caller: Caller, places: asyncio.Semaphore
    ) -> None:
        self._children = children
        self._caller = caller
        self._places = places

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """A tool for each child."""
        return tuple(
            ToolSpec(name, about(child), _PARAMETERS) for name, child in self._children.items()
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which children are left alone now."""
        return tuple(filter(None, (child.warning for child in self._children.values())))

    async def call(self, call: Call) -> Outcome:
        """Have a child do its task; raises ChildLost for one that goes away in mid-answer."""
        child = self._children.get(call.name)
        if child is None:
            known = ", ".join(self._children)
            return Outcome(f"there is no tool {call.name!r}; known agents: {known}", failed=True)
        task = call.arguments.get("task")
        if not isinstance(task, str) or not task.strip() or len(call.arguments) != 1:
            return Outcome(f"{call.name} takes one argument: task, a text", failed=True)
        async with self._places:
            return await child.call(sendable(task), self._caller)

    async def close(self) -> None:
        """Nothing of one turn's own."""


def about(child: Child) -> str:
    """What the model is told of a child."""
    table, seen = child.table, child.known
    if table.capability:
        head = f"Have an agent that is good for {table.capability} do a task."
    else:
        head = f"Have the agent {table.name or table.agent or child.name} do a task."
    good = f"It is good for: {', '.join(seen.capabilities)}." if seen and seen.capabilities else ""
    description = seen.description if seen else ""
    return cut(sendable(" ".join(filter(None, (head, description, good)))), MOST_ABOUT)
