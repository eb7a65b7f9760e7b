"""The way from an agent's own socket to its job: real sockets, and the loop that relays use."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from atoll.adapters.listening import listen, port_of
from atoll_supervisor.jobs import bridge as bridges
from atoll_supervisor.jobs.bridge import Bridge

pytestmark = pytest.mark.anyio

GREETING = b"ATOLL client key\r\n"
LIMIT = 20
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Job:
    """A server that hears the greeting and then talks; `heard` has what each client said."""

    def __init__(self, talk: Talk | None = None) -> None:
        self.greetings: list[bytes] = []
        self.ended = asyncio.Event()
        self.talk = talk or self.echo
        self.open = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.greetings.append(await reader.readline())
        with suppress(ConnectionError):
            await self.talk(reader, writer)
        self.ended.set()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.open -= 1

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")


@asynccontextmanager
async def serving(job: Job, port: int = 0) -> AsyncIterator[int]:
    server = await asyncio.start_server(job.take, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(LIMIT):
            while job.open:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def bridging(place: int) -> AsyncIterator[tuple[Bridge, int]]:
    sock = listen("127.0.0.1", 0)
    bridge = Bridge(sock, ("127.0.0.1", place), "key")
    await bridge.open()
    try:
        async with asyncio.timeout(LIMIT):
            yield bridge, port_of(sock)
    finally:
        bridge.drop()
        sock.close()
        await asyncio.sleep(0.05)  # until the transports have closed


@asynccontextmanager
async def bridged(talk: Talk | None = None) -> AsyncIterator[tuple[Job, int]]:
    job = Job(talk)
    async with serving(job) as place, bridging(place) as (_, port):
        yield job, port


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_bytes_go_both_ways_after_the_greeting_and_each_end_is_told() -> None:
    data = bytes(range(256)) * 40_000
    async with bridged() as (job, port), client(port) as (reader, writer):
        heard = asyncio.create_task(reader.read(-1))
        writer.write(data)
        writer.write_eof()  # the client has said all; the job still answers
        assert await heard == data + b"bye"
        assert job.greetings == [GREETING]


async def test_a_piece_is_passed_on_at_once() -> None:
    async with bridged() as (_, port), client(port) as (reader, writer):
        for word in (b"a", b"bc", b"d" * 100_000):
            writer.write(word)
            assert await reader.readexactly(len(word)) == word


@pytest.mark.parametrize("how", [reset, asyncio.StreamWriter.close])
async def test_a_client_that_hangs_up_is_gone_for_the_job_too(
    how: Callable[[asyncio.StreamWriter], None],
) -> None:
    async with bridged() as (job, port), client(port) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        how(writer)
        await job.ended.wait()


async def test_a_job_that_breaks_off_breaks_the_clients_connection_off() -> None:
    """An end that looks good would be taken for a whole answer."""

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await writer.drain()
        await reader.read(1)
        reset(writer)

    async with bridged(breaks) as (_, port), client(port) as (reader, writer):
        assert await reader.readexactly(4) == b"half"
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)


async def talk_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_a_client_that_stays_after_its_jobs_end_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all")

    monkeypatch.setattr(bridges, "LINGER", 0.2)
    async with bridged(ends) as (_, port), client(port) as (reader, writer):
        assert await reader.read(-1) == b"all"
        with pytest.raises(ConnectionError):
            await talk_on(writer)


async def test_a_client_that_does_not_read_slows_the_job_down() -> None:
    sent, stalled = 0, asyncio.Event()

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not stalled.is_set():
            writer.write(b"x" * 65_536)
            sent += 65_536
            try:
                async with asyncio.timeout(2):
                    await writer.drain()
            except TimeoutError:
                stalled.set()
        writer.transport.abort()

    async with bridged(floods) as (_, port):
        with socket.create_connection(("127.0.0.1", port)):
            await stalled.wait()
    assert sent < 50_000_000, "somebody has it all in memory"


async def test_a_job_that_does_not_read_slows_the_client_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the first words on, which may already be more than the way to the job takes."""
    made = bridges.Side.connection_made

    def narrow(side: bridges.Side, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made(side, transport)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()

    over = asyncio.Event()
    monkeypatch.setattr(bridges.Side, "connection_made", narrow)
    with listen("127.0.0.1", 0) as free:
        place = port_of(free)
    async with bridging(place) as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setblocking(False)
            sock.send(b"x" * 1_000_000)
            await asyncio.sleep(0.05)
            async with serving(Job(deaf), place):
                sent, quiet = 0, 0
                while quiet < 10 and sent < 100_000_000:
                    with suppress(BlockingIOError):
                        sent += sock.send(b"x" * 1_000_000)
                        quiet = -1
                    quiet += 1
                    await asyncio.sleep(0.05)
                sock.close()
                over.set()
    assert sent < 50_000_000, "somebody has it all in memory"


async def test_a_connection_waits_for_a_job_that_cannot_be_reached_yet() -> None:
    with listen("127.0.0.1", 0) as free:
        place = port_of(free)
    async with bridging(place) as (_, port), client(port) as (reader, writer):
        writer.write(b"hello")
        await writer.drain()
        async with serving(Job(), place):
            assert await reader.readexactly(5) == b"hello"
            writer.close()


async def test_a_closed_bridge_keeps_the_connections_it_has() -> None:
    async with (
        serving(Job()) as place,
        bridging(place) as (bridge, port),
        client(port) as (reader, writer),
    ):
        writer.write(b"1")
        await reader.readexactly(1)
        bridge.close()
        writer.write(b"2")
        assert await reader.readexactly(1) == b"2"
        with socket.create_connection(("127.0.0.1", port)):
            pass  # the next relay's: it waits in the queue of the socket and is not refused


async def test_who_comes_while_a_bridge_is_closed_is_served_when_it_opens_again() -> None:
    async with serving(Job()) as place, bridging(place) as (bridge, port):
        bridge.close()
        async with client(port) as (reader, writer):
            writer.write(b"hello")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read(1)
            assert bridge.is_idle
            await bridge.open()
            assert await reader.readexactly(5) == b"hello"


async def test_a_bridge_that_is_closed_while_it_opens_stays_closed() -> None:
    async with serving(Job()) as place, bridging(place) as (bridge, port):
        bridge.close()
        opening = asyncio.create_task(bridge.open())
        await asyncio.sleep(0)
        bridge.close()
        await opening
        async with client(port) as (_, writer):
            writer.write(b"hello")
            await asyncio.sleep(0.1)
            assert bridge.is_idle
