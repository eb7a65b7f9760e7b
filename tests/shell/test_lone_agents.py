"""Agents that were started alone, without a daemon, and call each other by url."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from atoll.wire.events import Below
from tests.fakes.children import asks
from tests.fakes.daemon import AGENT, eventually, free_ports
from tests.fakes.delegation import answer, child, results, said_by, turn

NAMES = ("a", "b", "c")


@contextmanager
def alone(folder: Path, name: str, port: int, script: str, tables: str) -> Iterator[str]:
    """`python -m atoll --server` for one agent; its address."""
    place = folder / name
    place.mkdir()
    (place / "agent.toml").write_text(AGENT.format(name=name, more=tables))
    (place / "script.toml").write_text(script)
    command = ["-m", "atoll", "--server", "--agent", str(place / "agent.toml"), "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "ATOLL_API_PORT": "1"}
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=log, stderr=log
        )
    try:
        eventually(lambda: b"serves http" in (place / "log").read_bytes(), why=f"no {name}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Sequence[str]]:
    """Three agents of which each asks the next one, and the last one the first."""
    first = free_ports(len(NAMES))
    with ExitStack() as stack:
        yield [
            stack.enter_context(alone(tmp_path, name, first + number, *_asking(number, first)))
            for number, name in enumerate(NAMES)
        ]


def _asking(number: int, first: int) -> tuple[str, str]:
    following = (number + 1) % len(NAMES)
    table = child("next", url=f"http://127.0.0.1:{first + following}")
    return asks("next", then=f"{NAMES[number]} is done"), table


def test_a_circle_of_agents_that_know_no_daemon_is_refused_where_it_closes(
    ring: Sequence[str],
) -> None:
    """Nobody vouches for the list; each one finds itself in it."""
    for number, url in enumerate(ring):
        events = turn(url)
        names = [*NAMES[number:], *NAMES[:number]]
        path = " → ".join((*names, names[0]))
        deepest = [one for one in events if isinstance(one, Below) and len(one.path) == 2]
        (refused,) = results([one.event for one in deepest])
        assert refused.result == f"refused: the delegation goes round in a circle: {path}"
        assert answer(events) == f"{names[0]} is done"


def test_an_agent_alone_that_names_an_agent_of_a_fleet_says_what_it_lacks(tmp_path: Path) -> None:
    script, table = asks("other", then="done"), child("other", agent="other")
    with alone(tmp_path, "a", free_ports(1), script, table) as url:
        events = turn(url)
    (told,) = results(events)
    assert "cannot reach the fleet's daemon at http://127.0.0.1:1" in told.result
    assert "start the fleet with `atoll up`, or name the child by its url" in told.result
    assert said_by(events, "other") == []
    assert answer(events) == "done"
