"""What a turn costs besides the model and the tool: loop, events, session.

The agent stands in this process, with its real store and a tool that does nothing. The
scripted model is also asked alone, as often and for the same words; what a turn takes
longer is its own.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec

from atoll.adapters.clock import SystemClock
from atoll.adapters.python_tools import PythonTools, load_tools
from atoll.adapters.script import load_script
from atoll.adapters.scripted import ScriptedModel
from atoll.adapters.session_store import SqliteSessions
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Loop, Manifest
from atoll.loop.agent import Agent, Identity
from atoll.loop.session_turn import Asked
from atoll.ports import Model, ModelRequest
from atoll.wire.events import Event, RunEnd
from atoll.wire.memory import Memory
from atoll.wire.messages import Message
from atoll.wire.turn import TurnRequest

TOOLS = '''\
"""A tool that takes no time."""


async def look(place: int) -> str:
    """Look there."""
    return f"nothing at {place}"
'''
QUESTION = "Is there anything?"
LONG = 200
"""Messages of a session that has been talked in for a while, of 300 characters each."""


class Wrong(Exception):
    """A turn did not end as it should."""


class Steps(NamedTuple):
    """Seconds a step: the model alone, a turn without and with a session, and in a long one."""

    model: float
    turn: float
    session: float
    long: float

    def beside(self, seconds: float) -> float:
        """What is not the model's."""
        return seconds - self.model


class _Bench:
    """One agent, and the turns that are measured."""

    def __init__(self, folder: Path, steps: int) -> None:
        (folder / "script.toml").write_text(_script(steps))
        (folder / "tools.py").write_text(TOOLS)
        manifest = Manifest(agent=AgentTable(name="Agent"), loop=Loop(max_steps=steps + 1))
        clock = SystemClock()
        self.steps = steps
        self.model: Model = ScriptedModel(load_script(folder, "script.toml"), "m", clock)
        self.store = SqliteSessions(folder / "sessions.db", 3600, clock)
        identity = Identity(
            manifest=manifest, checksum="", backend="scripted", model_name="m", instance_id="i"
        )
        tools = PythonTools(load_tools(folder / "tools.py"), ("*",), 30.0, 20_000)
        self.agent = Agent(identity, self.model, tools, self.store, clock)
        self._sessions = count()

    async def alone(self) -> None:
        """The model, asked as often."""
        asked = ModelRequest(messages=(Message(role="user", content=QUESTION),))
        for _ in range(self.steps):
            async with aclosing(self.model.stream(asked)) as chunks:
                async for _ in chunks:
                    pass

    async def turn(self) -> None:
        """A turn without a session."""
        events: list[Event] = []

        async def emit(event: Event) -> None:
            events.append(event)

        message = Message(role="user", content=QUESTION)
        await self.agent.turn(TurnRequest(model="m", messages=(message,)), emit)
        self._judge(events[-1])

    async def session(self) -> None:
        """The first turn of a new session."""
        await self._said_in(f"new-{next(self._sessions)}")

    async def long(self) -> None:
        """A turn of a long session, which is as long afterwards."""
        await self._said_in("long")

    async def make_long(self) -> None:
        """Set the long session back to its length."""
        said = [Message(role=role, content="word " * 60) for role in ("user", "assistant")]
        await self.store.keep("long", Memory(messages=tuple(said * (LONG // 2))))

    async def _said_in(self, session_id: str) -> None:
        live = self.agent.conversations.begin(Asked(message=QUESTION, session_id=session_id))
        await live.ended()
        self._judge(live.events[-1])

    def _judge(self, end: Event) -> None:
        if not (isinstance(end, RunEnd) and end.completed and end.steps == self.steps):
            raise Wrong(f"a turn ended with {end}")


def _script(steps: int) -> str:
    """A call in each step but the last, each with other arguments; a context without an end."""
    turns = [
        {"call": [{"name": "look", "arguments": {"place": place}}]} for place in range(steps - 1)
    ]
    script = {"context_length": 10**9, "turn": [*turns, {"text": "There is nothing there."}]}
    return msgspec.toml.encode(script).decode()


async def measured(folder: Path, steps: int, rounds: int) -> Steps:
    """Medians of so many turns of so many steps, each kind by turns; raises Wrong."""
    bench = _Bench(folder, steps)
    kinds: tuple[Callable[[], Awaitable[None]], ...] = (
        bench.alone,
        bench.turn,
        bench.session,
        bench.long,
    )
    took: list[list[float]] = [[] for _ in kinds]
    for _ in range(rounds):
        await bench.make_long()
        for kind, times in zip(kinds, took, strict=True):
            times.append(await _timed(kind))
    await bench.agent.close()
    return Steps(*(_median(times) / steps for times in took))


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    await asyncio.sleep(0)
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _median(times: Sequence[float]) -> float:
    """Without the first tenth, which warms up."""
    return statistics.median(times[len(times) // 10 :])
