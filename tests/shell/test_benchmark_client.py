"""The benchmarks' client counts every way in which a request can fail."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from benchmarks.supervision import client
from benchmarks.supervision.client import Load
from benchmarks.supervision.kept import KeptLoad
from benchmarks.supervision.processes import (
    alive,
    cpu_seconds,
    descendants,
    identity,
    is_alive,
    kill,
    pss,
)
from benchmarks.supervision.units import block, ports

pytestmark = pytest.mark.anyio

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"pid": 42}'


@asynccontextmanager
async def served(handle: Handler, sock: socket.socket | None = None) -> AsyncIterator[int]:
    """A server's port; the handler is given each connection."""
    if sock is None:
        sock = socket.create_server(("127.0.0.1", 0))
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, sock=sock)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # connections that were closed leave the loop in its next turns


def saying(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            writer.write(answer)
            await writer.drain()
            if answer != GOOD:
                return

    return handle


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("handle", "kind"),
    [
        (saying(GOOD), "ok"),
        (saying(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), "status"),
        (saying(b""), "empty"),
        (saying(GOOD[:-1]), "cut"),
        (resetting, "reset"),
    ],
)
async def test_an_answer_is_of_the_right_kind(handle: Handler, kind: str) -> None:
    async with served(handle) as port:
        answer = await client.get(port)
    assert answer.kind == kind
    assert answer.pid == (42 if kind == "ok" else 0)


async def test_a_closed_port_refuses_and_a_silent_one_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert (await client.get(silent.getsockname()[1], limit=0.1)).kind == "timeout"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert (await client.get(closed.getsockname()[1])).kind == "refused"


async def test_latency_counts_from_when_a_request_was_due() -> None:
    """A server that is away for 0.4 s is seen by all that fell into it, not by one request."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=100)
    load = Load([sock.getsockname()[1]], 50).start()
    await asyncio.sleep(0.4)
    async with served(saying(GOOD), sock):
        await asyncio.sleep(0.4)
        shots = await load.stop()
    assert not [shot for shot in shots if shot.failed]
    assert len([shot for shot in shots if shot.took > 0.1]) >= 10
    assert client.worst_ms(shots) >= 300


async def test_kept_connections_are_used_again_and_replaced() -> None:
    connections = 0

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(GOOD)

    async with served(twice) as port:
        load = KeptLoad([port], 100).start()
        await asyncio.sleep(0.3)
        shots = await load.stop()
    assert not [shot for shot in shots if shot.failed and shot.answer.kind != "empty"]
    assert 2 * connections >= len(shots) > connections > 1


def test_a_process_is_known_by_its_start_and_killed_alone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    who = identity(process.pid)
    assert who is not None
    assert process.pid in descendants(os.getpid())
    assert is_alive(who)
    assert not kill(who._replace(started=who.started - 1))
    assert kill(who)
    assert process.wait(10) < 0
    assert alive([who]) == []


def test_memory_and_cpu_of_a_process_are_seen() -> None:
    assert pss([os.getpid()]) > 1
    before = cpu_seconds([os.getpid()])
    sum(range(1_000_000))
    assert cpu_seconds([os.getpid()]) > before


def test_free_ports_are_given_once_and_blocks_hang_together() -> None:
    numbers = ports()
    assert len({next(numbers) for _ in range(20)}) == 20
    assert 20_000 <= block(10) < 33_000
