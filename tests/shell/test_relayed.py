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

import httpx
import msgspec
import pytest

from atoll.adapters.channel import Pulse
from atoll.http import relayed
from atoll.http.asgi import send_answer
from atoll.http.relayed import Attended, front_of
from atoll.wire.relay import FRONT, KEY, PULSE, Beat, greeting_of
from atoll_supervisor.jobs.pulse import Attendant
from tests.fakes.daemon import add_agent

pytestmark = pytest.mark.anyio

GET = "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n"
LIMIT = 20


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of an agent whose relay's address is 127.0.0.1, on the machine fleet."""
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
        yield int(next(filter(None, found))[1])
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
    assert b" 200 " in ask(port, greeting_of("secret") + tags)
    assert b" 200 " in ask(port, *(bytes([one]) for one in greeting_of("secret")), tags)
    wrong = (b"", greeting_of("secreT"), greeting_of("secre"), greeting_of("secret2"), b"\n")
    for greeting in wrong:
        answer = ask(port, greeting + tags)
        assert answer.startswith(b"HTTP/1.1 401 "), greeting
        assert b"Alpha" not in answer
    assert b" 401 " in ask(port, b"x" * 100_000)


def test_clients_are_judged_as_at_the_relays_own_address(port: int) -> None:
    def status(host: str) -> bytes:
        request = greeting_of("secret") + GET.format("/api/tags", host).encode()
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
    await asyncio.to_thread(ask, port, greeting_of("secret") + GET.format("/x", "x.test").encode())
    assert await attendant.until_ready(LIMIT) == ""
    assert before <= attendant.pulse.active <= time.monotonic()
    assert attendant.well
    attendant.close()


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


async def test_an_agent_that_nobody_asks_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "LONELY", 0.3)
    monkeypatch.setattr(relayed, "_LOOK", 0.01)

    async def app(scope: object, receive: object, send: object) -> None:
        await send_answer(send, 404, b"")

    attended = Attended(app, lambda: Pulse(2, time.monotonic() - 5))
    transport = httpx.ASGITransport(attended)
    async with httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
        over = asyncio.create_task(attended.abandoned())
        since = time.monotonic()
        while time.monotonic() - since < 0.6:
            answer = await client.get(PULSE)
            assert not over.done()
        beat = msgspec.json.decode(answer.content, type=Beat)
        assert (beat.in_flight, round(beat.idle or 0)) == (2, 5)
        await asyncio.wait_for(over, LIMIT)
