"""Agents of a fleet call each other, as processes of a real daemon."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from atoll.core.papers import Seal
from atoll.wire.events import Below, Event, Failure, RunEnd, Token, ToolCall, Warning
from tests.fakes.children import TURNS, asks, good
from tests.fakes.daemon import PLAIN, Daemon, eventually, running
from tests.fakes.delegation import (
    add,
    answer,
    chain,
    child,
    results,
    said_by,
    seen,
    streaming,
    turn,
)
from tests.fakes.upstream import upstream_in_thread

SLOW = '[[turn]]\nchunks = ["one ", "two ", "three "]\ndelay = 0.2\n'
CIRCLE = ("coordinator", "librarian")
STUCK = '[[turn]]\nchunks = ["never"]\ndelay = 600\n'


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, ports=30)


@pytest.fixture
def fleet(daemon: Daemon) -> Iterator[Daemon]:
    """One parent whose child plays what the test writes, with a slow one beside it."""
    add(daemon, "Parent", asks("helper"), child("helper", agent="child"))
    add(daemon, "Child", SLOW)
    with running(daemon):
        for slug in ("parent", "child"):
            daemon.wait_for(slug, phase="running")
        yield daemon


def is_at_work(event: Event) -> bool:
    """The child has been asked, and tells nothing for now."""
    return isinstance(event, ToolCall)


def has_begun(event: Event) -> bool:
    """The child said something."""
    return isinstance(event, Below)


def pid_of(daemon: Daemon, slug: str) -> int:
    pid = daemon.row(slug)["pid"]
    assert isinstance(pid, int)
    return pid


def test_a_chain_of_ten_works_and_shows_each_agent_and_eleven_is_refused(daemon: Daemon) -> None:
    """The eleventh is refused by the one that would ask it, with the whole path in the words."""
    names = chain(daemon, 11)
    with running(daemon):
        for name in names:
            daemon.wait_for(name, phase="running")
        ten, eleven = turn(daemon.row("a2")["url"]), turn(daemon.row("a1")["url"])
        assert answer(ten) == "a2 is done"
        assert answer(turn(daemon.row("a1")["url"])) == "a1 is done"
    paths = {one.path for one in ten if isinstance(one, Below)}
    assert paths == {tuple(names[2:deep]) for deep in range(3, 12)}
    assert [one.result for one in results(ten)] == ["a3 is done"]
    (refused,) = results(said_by(eleven, "a10"))
    assert refused.failed
    assert refused.result.endswith("10 agents at most: " + " → ".join(names))
    assert Warning(refused.result) in said_by(eleven, "a10")
    assert answer(eleven) == "a1 is done"


def test_a_circle_is_refused_with_its_path_and_everybody_goes_on(daemon: Daemon) -> None:
    add(
        daemon,
        "Coordinator",
        asks("helper", then="coordinator is done"),
        child("helper", agent="librarian"),
    )
    add(
        daemon,
        "Librarian",
        asks("boss", then="librarian is done"),
        child("boss", agent="coordinator"),
    )
    with running(daemon):
        urls = {slug: daemon.wait_for(slug, phase="running")["url"] for slug in CIRCLE}
        for first, second in (CIRCLE, CIRCLE[::-1]):
            events = turn(urls[first])
            (refused,) = results(said_by(events, second))
            assert refused.result.endswith(f"in a circle: {first} → {second} → {first}")
            assert answer(events) == f"{first} is done"


def test_fifty_children_at_once_all_answer(daemon: Daemon) -> None:
    """More than one child runs at once: the others wait there, and none is lost."""
    add(daemon, "Parent", asks(*["helper"] * 50), child("helper", agent="child"))
    add(daemon, "Child", '[[turn]]\nchunks = ["a ", "b"]\ndelay = 0.05\n')
    with running(daemon):
        for slug in ("parent", "child"):
            daemon.wait_for(slug, phase="running")
        events = turn(daemon.row("parent")["url"])
    assert [one.result for one in results(events)] == ["a b"] * 50
    runs = {one.run_id for one in events if isinstance(one, Below)}
    assert len(runs) == 50


def test_fifty_different_children_all_answer(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, ports=60)
    names = [f"c{number}" for number in range(50)]
    add(daemon, "Parent", asks(*names), "".join(child(name, agent=name) for name in names))
    for name in names:
        add(daemon, name, f'[[turn]]\ntext = "{name} is done"\n')
    with running(daemon):
        url = daemon.wait_for("parent", phase="running")["url"]
        events = turn(url)
    assert [one.result for one in results(events)] == [f"{name} is done" for name in names]
    assert {one.path for one in events if isinstance(one, Below)} == {(name,) for name in names}


def test_a_whole_tree_stays_within_the_budget_of_the_agent_that_began(daemon: Daemon) -> None:
    """Two calls at the top, of three: each of them leaves its child no further one."""
    tables = child("middle", agent="middle") + "[budget]\ncalls_per_turn = 3\n"
    add(daemon, "Top", asks("middle", "middle"), tables)
    calls = asks("bottom").partition("\n\n")[0]  # each time, and never an answer
    add(daemon, "Middle", calls, child("bottom", agent="bottom"))
    add(daemon, "Bottom", '[[turn]]\ntext = "never"\n')
    with running(daemon):
        daemon.wait_for("middle", phase="running")
        events = turn(daemon.wait_for("top", phase="running")["url"])
    words = "has used more than the 0 calls of tools that its caller had left"
    assert [words in one.result for one in results(events)] == [True, True]
    assert said_by(events, "bottom") == []
    assert answer(events) == "the parent is done"


def test_a_deadline_at_the_top_ends_the_whole_chain(daemon: Daemon) -> None:
    tables = child("next", agent="middle") + "[budget]\nseconds_per_turn = 1\n"
    add(daemon, "Top", asks("next"), tables)
    add(daemon, "Middle", asks("next"), child("next", agent="bottom"))
    add(daemon, "Bottom", STUCK)
    with running(daemon):
        rows = [daemon.wait_for(slug, phase="running") for slug in ("middle", "bottom")]
        last = turn(daemon.wait_for("top", phase="running")["url"])[-1]
        eventually(lambda: not any(map(busy, rows)), limit=5.0)
    assert isinstance(last, Failure)
    assert "more than its 1 seconds" in last.message


def busy(row: dict[str, object]) -> bool:
    """Whether an agent has a turn under way."""
    health = httpx.get(f"{row['url']}/health", timeout=9, verify=PLAIN).json()
    return bool(health["in_flight"])


def test_fifty_children_of_a_turn_that_may_make_ten_calls_are_refused_at_once(
    daemon: Daemon,
) -> None:
    tables = child("helper", agent="child") + "[budget]\ncalls_per_turn = 10\n"
    add(daemon, "Parent", asks(*["helper"] * 50), tables)
    add(daemon, "Child", SLOW)
    with running(daemon):
        last = turn(daemon.wait_for("parent", phase="running")["url"])[-1]
        assert daemon.row("child")["in_flight"] in (0, None)
    assert isinstance(last, Failure)
    assert "more than its 10 calls of tools" in last.message


def test_a_child_by_capability_is_woken(daemon: Daemon) -> None:
    add(daemon, "Parent", asks("finder"), child("finder", capability="searching"))
    asleep = "[deployment]\nidle_timeout = 0.5\n"
    manifest = 'capabilities = ["searching"]\n'
    add(daemon, "Sleeper", '[[turn]]\ntext = "good morning"\n', asleep)
    path = daemon.agents / "sleeper" / "agent.toml"
    path.write_text(path.read_text().replace("[llm]", f"{manifest}[llm]", 1))
    with running(daemon):
        parent = daemon.wait_for("parent", phase="running")
        daemon.wait_for("sleeper", phase="asleep")
        events = turn(parent["url"])
        assert [one.result for one in results(events)] == ["good morning"]
        assert daemon.row("sleeper")["phase"] == "running"


def test_a_child_killed_before_its_first_token_is_waited_for_and_asked_again(
    fleet: Daemon,
) -> None:
    path = fleet.agents / "child" / "script.toml"
    path.write_text(STUCK)
    eventually(lambda: fleet.row("child")["generation"] == 2)
    fleet.wait_for("child", phase="running")
    with streaming(fleet.row("parent")["url"]) as events:
        seen(events, is_at_work)
        eventually(lambda: fleet.row("child")["in_flight"] == 1)
        path.write_text('[[turn]]\ntext = "back again"\n')
        os.kill(pid_of(fleet, "child"), signal.SIGKILL)
        rest = list(events)
    assert [one.result for one in results(rest)] == ["back again"]
    assert isinstance(rest[-1], RunEnd)


def test_a_child_killed_after_its_first_token_ends_the_turn_and_both_go_on(fleet: Daemon) -> None:
    with streaming(fleet.row("parent")["url"]) as events:
        seen(events, has_begun)
        os.kill(pid_of(fleet, "child"), signal.SIGKILL)
        last = list(events)[-1]
    assert isinstance(last, Failure)
    assert (last.code, last.who) == ("child_lost", "agent")
    again = [*turn(fleet.row("parent")["url"]), *turn(fleet.row("parent")["url"])]
    assert [one.result for one in results(again)] == ["one two three "]


def test_a_client_that_leaves_ends_the_whole_chain_within_a_second(daemon: Daemon) -> None:
    for name, deeper in (("Top", "middle"), ("Middle", "bottom")):
        add(daemon, name, asks("next"), child("next", agent=deeper))
    add(daemon, "Bottom", STUCK)
    slugs = ("top", "middle", "bottom")
    with running(daemon):
        urls = [daemon.wait_for(slug, phase="running")["url"] for slug in slugs]

        def turns() -> list[int]:
            asked = [httpx.get(f"{url}/health", timeout=9, verify=PLAIN) for url in urls]
            return [answer.json()["in_flight"] for answer in asked]

        with streaming(urls[0]) as events:
            seen(events, is_at_work)
            eventually(lambda: turns() == [1, 1, 1])
        left = time.monotonic()
        eventually(lambda: turns() == [0, 0, 0], limit=1.0)
        assert time.monotonic() - left <= 1.5


def test_what_agents_are_given_seals_their_calls_and_manages_nothing(fleet: Daemon) -> None:
    """S42; and no agent finds the key again in what it may read of its own environment."""
    key = (fleet.state / "delegation.key").read_text().strip()
    for shown in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
        for action in ("stop", "restart", "start"):
            url = f"{fleet.url}/api/v1/agents/child/{action}"
            assert httpx.post(url, headers=shown, timeout=9, verify=PLAIN).status_code == 401
    assert (fleet.state / "delegation.key").stat().st_mode & 0o777 == 0o600
    told = Path(f"/proc/{pid_of(fleet, 'child')}/environ").read_bytes()
    assert key.encode() not in told
    management = (fleet.state / "token").read_text().strip()
    assert management.encode() not in told


def test_forged_papers_are_refused_by_the_agents_of_a_fleet(fleet: Daemon) -> None:
    """Without the key nobody can say that he is of the fleet, and who says nothing begins anew."""
    url = f"{fleet.row('child')['url']}{TURNS}"
    body = {"messages": [{"role": "user", "content": "hi"}]}
    key = (fleet.state / "delegation.key").read_text().strip()
    forged = {"x-atoll-hops": f"parent@{Seal(key, '').realm}", "x-atoll-seal": "0" * 64}
    refused = httpx.post(url, json=body, headers=forged, timeout=9, verify=PLAIN)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_hops")
    assert httpx.post(url, json=body, timeout=9, verify=PLAIN).status_code == 200


def test_a_trace_of_a_client_reaches_the_last_child_through_any_dialect(daemon: Daemon) -> None:
    """The child is no agent here but a listener that keeps the headers."""
    with upstream_in_thread(lambda one: one.on(TURNS, good())) as end:
        add(daemon, "Top", asks("next"), child("next", agent="middle"))
        add(daemon, "Middle", asks("next"), child("next", url=end.url))
        with running(daemon):
            daemon.wait_for("middle", phase="running")
            port = daemon.wait_for("top", phase="running")["port"]
            trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            body = {"model": "top", "messages": [{"role": "user", "content": "x"}], "stream": False}
            for url in (f"http://127.0.0.1:{port}", daemon.url):
                headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
                sent = httpx.post(
                    f"{url}/api/chat", json=body, headers=headers, timeout=30, verify=PLAIN
                )
                assert sent.raise_for_status().json()["message"]["content"] == "the parent is done"
        assert len(end.requests) == 2
        for request in end.requests:
            assert request.headers["traceparent"].split("-")[1] == trace
            assert request.headers["x-atoll-hops"].count("@") == 2


def test_ollamas_clients_see_the_answer_and_nothing_of_the_children(fleet: Daemon) -> None:
    port = fleet.row("parent")["port"]
    body = {"model": "parent", "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(f"http://127.0.0.1:{port}/api/chat", json=body, timeout=30, verify=PLAIN)
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(one["message"]["content"] for one in told) == "the parent is done"
    assert not any("tool_calls" in one["message"] for one in told)


def test_the_daemon_may_be_killed_while_agents_call_each_other(fleet: Daemon) -> None:
    assert fleet.process is not None
    url = fleet.row("parent")["url"]
    assert answer(turn(url)) == "the parent is done"
    fleet.stop(signal.SIGKILL)
    try:
        assert answer(turn(url)) == "the parent is done"
    finally:
        fleet.start()


def test_tokens_of_a_child_are_no_part_of_the_parents_answer(fleet: Daemon) -> None:
    events = turn(fleet.row("parent")["url"])
    words = "".join(one.text for one in events if isinstance(one, Token))
    assert words == "the parent is done"
    assert not any(isinstance(one, Token) for one in said_by(events, "child"))
