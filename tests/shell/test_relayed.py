"""An agent that serves as a job: the key before everything, the pulse, its end without a relay."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from atoll.adapters.channel import Pulse
from atoll.http import relayed
from atoll.http.relayed import Attended, front_of
from atoll.wire.relay import FRONT, KEY, LEAVE, PULSE, Beat, greeting_of
from atoll_supervisor.jobs import pulse
from atoll_supervisor.jobs.pulse import Attendant
from tests.fakes.daemon import add_agent

pytestmark = pytest.mark.anyio

GET = "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n"
LIMIT = 20
GREETING = greeting_of("secret", "client")


class Alpha(NamedTuple):
    """An agent whose relay's address is 127.0.0.1, on the machine fleet."""

    process: subprocess.Popen[str]
    port: int


@pytest.fixture
def port(alpha: Alpha) -> int:
    return alpha.port


@pytest.fixture
def alpha(tmp_path: Path) -> Iterator[Alpha]:
    manifest = add_agent(tmp_path, "Alpha")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ATOLL_STATE_DIR": str(tmp_path / "state"),
        KEY: "secret",
        FRONT: "127.0.0.1 fleet",
    }
    words = [sys.executable, "-m", "atoll", "--server", "--port", "0", "--agent", str(manifest)]
    agent = subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, text=True)
    assert agent.stderr is not None
    try:
        found = (re.search(r"http://.*:(\d+)", line) for line in agent.stderr)
        yield Alpha(agent, int(next(filter(None, found))[1]))
    finally:
        agent.terminate()
        agent.wait(LIMIT)
        agent.stderr.close()


def ask(port: int, *parts: bytes) -> bytes:
    """Send these, one by one; the first piece of the answer."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            sock.sendall(part)
        return sock.recv(65_536)


def test_only_who_greets_with_the_key_is_heard(port: int) -> None:
    tags = GET.format("/api/tags", "127.0.0.1").encode()
    assert b" 200 " in ask(port, GREETING + tags)
    assert b" 200 " in ask(port, *(bytes([one]) for one in GREETING), tags)
    wrong = (
        b"",
        greeting_of("secreT", "client"),
        greeting_of("secre", "relay"),
        greeting_of("x" * 6, "relay"),
        b"\n",
    )
    for greeting in wrong:
        answer = ask(port, greeting + tags)
        assert answer.startswith(b"HTTP/1.1 401 "), greeting
        assert b"Alpha" not in answer
    assert b" 401 " in ask(port, b"x" * 100_000)


def test_what_is_the_relays_own_is_nothing_on_a_clients_connection(port: int) -> None:
    for path in (PULSE, LEAVE):
        request = GET.format(path, "127.0.0.1").encode()
        assert b" 404 " in ask(port, GREETING + request)
    tags = GET.format(PULSE, "127.0.0.1").encode()
    assert b" 200 " in ask(port, greeting_of("secret", "relay") + tags)


def test_clients_are_judged_as_at_the_relays_own_address(port: int) -> None:
    def status(host: str) -> bytes:
        request = GREETING + GET.format("/api/tags", host).encode()
        return ask(port, request).split(b" ")[1]

    assert [status(host) for host in ("localhost", "fleet:8100", "evil.example")] == [
        b"200",
        b"200",
        b"403",
    ]


async def test_the_pulse_tells_how_long_ago_the_last_request_was(port: int) -> None:
    attendant = Attendant(("127.0.0.1", port), "secret", lambda: None)
    assert await attendant.until_ready(LIMIT) == ""
    assert attendant.pulse == Pulse(), "health and pulse are no use of it"
    before = time.monotonic()
    await asyncio.to_thread(ask, port, GREETING + GET.format("/x", "x.test").encode())
    assert await attendant.until_ready(LIMIT) == ""
    assert before <= attendant.pulse.active <= time.monotonic()
    assert attendant.well
    assert await attendant.tell_to_leave()


async def test_an_agent_with_another_key_is_never_ready(port: int) -> None:
    attendant = Attendant(("127.0.0.1", port), "other", lambda: None)
    why = await attendant.until_ready(0.3)
    assert why == f"start-timeout: it did not answer within 0.3 s ({PULSE} answered 401)"


def test_the_key_is_taken_out_of_the_environment() -> None:
    environ = {KEY: "k", FRONT: "::1 machine", "PATH": "/bin"}
    front = front_of(environ)
    assert front is not None
    assert (front.host, front.machine, front.key) == ("::1", "machine", "k")
    assert environ == {"PATH": "/bin"}
    assert front_of({}) is None


async def test_an_agent_that_nobody_asks_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "LONELY", 0.3)
    monkeypatch.setattr(relayed, "_LOOK", 0.01)
    attended = Attended(nothing, lambda: Pulse(2, time.monotonic() - 5))
    over = asyncio.create_task(attended.until_left())
    since = time.monotonic()
    while time.monotonic() - since < 0.6:
        beat = await asked(attended, PULSE)
        assert not over.done()
        await asyncio.sleep(0.02)
    assert (beat.in_flight, round(beat.idle or 0)) == (2, 5)
    async with asyncio.timeout(LIMIT):
        assert "no relay has asked" in await over


async def test_an_agent_ends_when_its_relay_says_so() -> None:
    attended = Attended(nothing, Pulse)
    over = asyncio.create_task(attended.until_left())
    assert await asked(attended, LEAVE) == Beat(0, None)
    async with asyncio.timeout(LIMIT):
        assert "its relay has told it to stop" in await over


async def test_an_agent_that_is_told_by_a_signal_drains_after_its_relay_has_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relayed, "_PATIENCE", LIMIT)
    attended = Attended(nothing, Pulse)
    over = asyncio.create_task(attended.until_left())
    assert await asked(attended, PULSE) == Beat(0, None)
    assert attended.leave()
    assert not attended.leave(), "told again it waits for nobody"
    await asyncio.sleep(0.05)
    assert not over.done()
    assert await asked(attended, PULSE) == Beat(0, None, leaving=True)
    async with asyncio.timeout(LIMIT / 2):
        assert "its job has told it to stop" in await over


async def test_an_agent_whose_relay_does_not_ask_waits_for_it_only_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relayed, "_PATIENCE", 0.05)
    attended = Attended(nothing, Pulse)
    assert attended.leave()
    async with asyncio.timeout(LIMIT):
        await attended.until_left()


async def test_an_agent_that_leaves_serves_until_its_relay_knows(alpha: Alpha) -> None:
    tags = GREETING + GET.format("/api/tags", "127.0.0.1").encode()
    turned: list[bool] = []
    attendant = Attendant(
        ("127.0.0.1", alpha.port), "secret", lambda: turned.append(attendant.takes)
    )
    assert await attendant.until_ready(LIMIT) == ""
    alpha.process.terminate()
    async with asyncio.timeout(LIMIT):
        while attendant.takes:
            assert b" 200 " in await asyncio.to_thread(ask, alpha.port, tags)
            await attendant.until_ready(LIMIT)
    assert b" 200 " in await asyncio.to_thread(ask, alpha.port, tags), "taken just before"
    assert turned == [True, False]
    assert await asyncio.to_thread(alpha.process.wait, LIMIT) == 0


async def test_an_agent_that_has_said_that_it_leaves_may_be_silent(
    alpha: Alpha, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port is closed while it finishes what it has, for as long as SLURM lets it."""
    monkeypatch.setattr(pulse, "SILENCE", 0.5)
    attendant = Attendant(("127.0.0.1", alpha.port), "secret", lambda: None)
    assert await attendant.until_ready(LIMIT) == ""
    lost = asyncio.create_task(attendant.until_lost())
    alpha.process.terminate()
    async with asyncio.timeout(LIMIT):
        while attendant.well:
            await asyncio.sleep(0.05)
        monkeypatch.setattr(pulse, "FAREWELL", 1.5)
        assert not lost.done()
        assert "did not answer for 1.5 s" in await lost


async def nothing(scope: object, receive: object, send: object) -> None:
    """The agent itself."""


async def asked(attended: Attended, path: str) -> Beat:
    """The answer on a connection of the relay's own."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "extensions": {"atoll.relay": {}}}
    await attended(scope, nothing, send)
    return msgspec.json.decode(sent[1]["body"], type=Beat)
