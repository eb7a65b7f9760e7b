"""One process of an agent takes over from another on one held socket, and nobody notices."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from atoll.http.sockets import bind
from tests.fakes.forking import LIMIT, Forked, Template, template
from tests.fakes.load import load_on
from tests.fakes.serving import read_all, read_answer

pytestmark = pytest.mark.anyio

MANIFEST = """
[agent]
name = "Speaker"
[llm]
provider = "scripted"
script = "script.toml"
[deployment]
stop_timeout = %s
"""
WORDS = [f"word{n} " for n in range(20)]
SCRIPT = f"""
[[turn]]
match = "long"
chunks = {WORDS}
delay = 0.1

[[turn]]
match = "endless"
chunks = {WORDS * 20}
delay = 0.2

[[turn]]
text = "done"
"""
DIALECTS = {"/api/chat": b'"done":true', "/v1/chat/completions": b"data: [DONE]"}


@pytest.fixture(scope="module")
def made() -> Iterator[Template]:
    with template() as running:
        yield running


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with bind("127.0.0.1", 0) as sock:
        yield sock


def manifest(folder: Path, stop_timeout: float = 30) -> Path:
    path = folder / "agent.toml"
    path.write_text(MANIFEST % stop_timeout)
    (folder / "script.toml").write_text(SCRIPT)
    return path


async def ready(agent: Forked) -> Forked:
    """Wait for the first word of an agent, which says that it serves."""
    agent.channel.setblocking(False)
    async with asyncio.timeout(LIMIT):
        said = await asyncio.get_running_loop().sock_recv(agent.channel, 500)
    assert said == b"READY=1\n"
    return agent


@contextmanager
def streaming(port: int, path: str, text: str) -> Iterator[socket.socket]:
    """A stream whose first bytes have come."""
    message = {"role": "user", "content": text}
    body = json.dumps({"model": "speaker", "messages": [message], "stream": True}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), LIMIT) as sock:
        sock.sendall(head.encode() + body)
        assert sock.recv(1, socket.MSG_PEEK)
        yield sock


async def test_successors_take_over_under_load_and_no_request_fails(
    made: Template, held: socket.socket, tmp_path: Path
) -> None:
    path = manifest(tmp_path)
    agent = await ready(made.fork(path, held=held))
    async with load_on(agent.port) as load:
        for _ in range(5):
            await load.answered_more(100)
            successor = await ready(made.fork(path, held=held))
            os.kill(agent.pid, signal.SIGTERM)
            assert await asyncio.to_thread(agent.wait) == 0
            agent = successor
        await load.answered_more(100)
    assert load.failures == []
    assert load.answered >= 600


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_goes_on_to_its_end_while_the_successor_serves(
    made: Template, held: socket.socket, tmp_path: Path, dialect: str
) -> None:
    path = manifest(tmp_path)
    old = await ready(made.fork(path, held=held))
    with streaming(old.port, dialect, "long") as sock:
        new = await ready(made.fork(path, held=held))
        os.kill(old.pid, signal.SIGTERM)
        pids = {await asyncio.to_thread(pid_that_answers, old.port) for _ in range(5)}
        answer = await asyncio.to_thread(read_all, sock)
    assert new.pid in pids
    assert all(word.strip().encode() in answer for word in WORDS)
    assert DIALECTS[dialect] in answer
    assert answer.endswith(b"0\r\n\r\n")
    assert await asyncio.to_thread(old.wait) == 0


def pid_that_answers(port: int) -> int:
    """Who takes a new connection now; asked again until it is not the one that leaves."""
    time.sleep(0.05)
    return int(requests.get(f"http://127.0.0.1:{port}/health", timeout=LIMIT).json()["pid"])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_without_an_end_is_cut_in_its_dialect(
    made: Template, held: socket.socket, tmp_path: Path, dialect: str
) -> None:
    agent = await ready(made.fork(manifest(tmp_path, stop_timeout=1), held=held))
    with streaming(agent.port, dialect, "endless") as sock:
        os.kill(agent.pid, signal.SIGTERM)
        answer = await asyncio.to_thread(read_all, sock)
    assert b"the agent is stopping" in answer
    assert await asyncio.to_thread(agent.wait) == 0


async def test_an_idle_kept_connection_is_closed_at_the_end(
    made: Template, held: socket.socket, tmp_path: Path
) -> None:
    agent = await ready(made.fork(manifest(tmp_path), held=held))
    with socket.create_connection(("127.0.0.1", agent.port), LIMIT) as sock:
        sock.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(sock).startswith(b"HTTP/1.1 200")
        os.kill(agent.pid, signal.SIGTERM)
        assert await asyncio.to_thread(read_all, sock) == b""
    assert await asyncio.to_thread(agent.wait) == 0


async def test_the_connections_that_wait_are_left_to_the_successor(
    made: Template, held: socket.socket, tmp_path: Path
) -> None:
    path = manifest(tmp_path)
    old = await ready(made.fork(path, held=held))
    os.kill(old.pid, signal.SIGTERM)
    assert await asyncio.to_thread(old.wait) == 0
    with socket.create_connection(("127.0.0.1", old.port), LIMIT) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await ready(made.fork(path, held=held))
        assert (await asyncio.to_thread(read_all, sock)).startswith(b"HTTP/1.1 200")


async def test_open_streams_are_in_flight_on_the_channel(
    made: Template, held: socket.socket, tmp_path: Path
) -> None:
    agent = await ready(made.fork(manifest(tmp_path), held=held))
    with streaming(agent.port, "/api/chat", "long") as sock:
        async with asyncio.timeout(LIMIT):
            loop = asyncio.get_running_loop()
            while b"IN_FLIGHT=1\n" not in await loop.sock_recv(agent.channel, 500):
                pass
            await asyncio.to_thread(read_all_of, sock)
            while b"IN_FLIGHT=0\n" not in await loop.sock_recv(agent.channel, 500):
                pass


def read_all_of(sock: socket.socket) -> bytes:
    """To the end of a chunked answer on a connection that is kept."""
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        data += sock.recv(65536)
    return data
