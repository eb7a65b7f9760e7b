"""A parent as a real agent over a scripted model, and children that say what a test wants."""

import json
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from atoll.config.load import load_manifest
from atoll.config.places import places_of
from atoll.loop.agent import Agent
from atoll.loop.opening import open_agent
from atoll.wire.events import Below, Event, OwnEvent, RunEnd, RunStart, StepStart, Token, Warning
from atoll.wire.messages import Message, Usage
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.upstream import Act, Reply, streamed

KEY = "the-fleets-key"
TURNS = "/api/v1/turns"
BEGUN: tuple[Event, ...] = (RunStart("run_c", "child", "do it"), StepStart(0))
USAGE = Usage(prompt_tokens=5, completion_tokens=3)

CALL = '[[turn.call]]\nname = "{name}"\narguments = {{ task = "{task}" }}\n'


def asks(*names: str, task: str = "do it", then: str = "the parent is done") -> str:
    """A script that calls these children at once, each with another task, and then answers."""
    calls = "".join(
        CALL.format(name=name, task=f"{task} {number}" if number else task)
        for number, name in enumerate(names)
    )
    return f'[[turn]]\n{calls}\n[[turn]]\ntext = "{then}"\n'


def line(event: Event) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def ended(answer: str = "the child is done", usage: Usage = USAGE) -> bytes:
    return line(RunEnd(answer, "stop", usage, 1))


def says(*events: Event | bytes | Act) -> Reply:
    """A turn of a child: these events, or whatever else it sends."""
    known = msgspec.inspect.is_struct_type
    sent = [line(one) if known(type(one)) else one for one in (*BEGUN, *events)]
    return streamed(sent)


def good(answer: str = "the child is done") -> Reply:
    return says(Token("the "), ended(answer))


@asynccontextmanager
async def parent(
    folder: Path, tables: str, script: str, name: str = "Parent", key: str = KEY, **environ: str
) -> AsyncIterator[Agent]:
    """The agent with these tables, as its process opens it."""
    home = folder / name.lower()
    home.mkdir()
    (home / "script.toml").write_text(script)
    manifest = f'[agent]\nname = "{name}"\n[llm]\nprovider = "scripted"\nscript = "script.toml"\n'
    (home / "agent.toml").write_text(f"{manifest}\n{tables}")
    env = {"HOME": str(folder), **environ}
    loaded, places = load_manifest(home / "agent.toml", env), places_of(env, 0, home / "state")
    agent = await open_agent(loaded, places, env, print, key)
    try:
        yield agent
    finally:
        await agent.close()


async def turn(agent: Agent, text: str = "go") -> list[Event]:
    request = TurnRequest(model="parent", messages=(Message(role="user", content=text),))
    return await told_by(partial(agent.turn, request))


def below(events: Iterable[Event], *path: str) -> list[OwnEvent]:
    """What the agent at that path said."""
    return [one.event for one in events if isinstance(one, Below) and one.path == path]


def warned(events: Iterable[Event]) -> list[str]:
    return [one.message for one in events if isinstance(one, Warning)]


def rows(*agents: dict[str, object]) -> bytes:
    """What a daemon answers that has these agents."""
    plain = {"status": "running", "phase": "running"}
    return json.dumps({"agents": [plain | agent for agent in agents], "count": 1}).encode()


def everyone(threads: Iterable[threading.Event]) -> bool:
    """Whether all of these happened."""
    return all(event.is_set() for event in threads)
