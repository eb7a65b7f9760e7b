"""Agents of a daemon that call each other, and one turn of one of them, event by event."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import httpx
import msgspec

from atoll.wire.events import Below, Event, OwnEvent, RunEnd, ToolResult
from tests.fakes.children import TURNS, asks
from tests.fakes.daemon import PLAIN, Daemon, add_agent

LIMIT = 50


def add(daemon: Daemon, name: str, script: str, tables: str = "") -> None:
    """An agent that plays this script."""
    manifest = add_agent(daemon.agents, name, tables)
    (manifest.parent / "script.toml").write_text(script)


def child(name: str, **keys: str) -> str:
    """A table of `[sub_agents]`."""
    return f"[sub_agents.{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


def chain(daemon: Daemon, length: int) -> list[str]:
    """Agents a1 to aN of which each one asks the next; their names."""
    names = [f"a{number}" for number in range(1, length + 1)]
    for name, deeper in pairwise(names):
        add(daemon, name, asks("next", then=f"{name} is done"), child("next", agent=deeper))
    add(daemon, names[-1], f'[[turn]]\ntext = "{names[-1]} is done"\n')
    return names


@contextmanager
def streaming(url: object, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of a turn as they come; leaving hangs up."""
    body = {"messages": [{"role": "user", "content": "go"}]}
    with httpx.stream(
        "POST", f"{url}{TURNS}", json=body, headers=headers, timeout=LIMIT, verify=PLAIN
    ) as answer:
        answer.raise_for_status()
        yield (msgspec.json.decode(line, type=Event) for line in answer.iter_lines())


def turn(url: object, **headers: str) -> list[Event]:
    """All events of a turn."""
    with streaming(url, **headers) as events:
        return list(events)


def said_by(events: list[Event], name: str) -> list[OwnEvent]:
    """What the agent of that name said, at whatever depth."""
    return [one.event for one in events if isinstance(one, Below) and one.path[-1] == name]


def results(events: list[Any]) -> list[ToolResult]:
    return [one for one in events if isinstance(one, ToolResult)]


def answer(events: list[Event]) -> str:
    """The turn's answer; it must have succeeded."""
    last = events[-1]
    assert isinstance(last, RunEnd), last
    return last.answer


def seen(events: Iterator[Event], true: Callable[[Event], bool]) -> list[Event]:
    """The events up to the first one that is `true`."""
    found: list[Event] = []
    for event in events:
        found.append(event)
        if true(event):
            return found
    raise AssertionError(f"it never came: {found}")
