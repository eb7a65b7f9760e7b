"""Clients that ask all the time, each in its own way, and never try a request twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import httpx

GET = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
ONCE = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
LIMIT = 30.0
PAUSE = 0.008
"""Seconds between two requests of one client."""


class Load:
    """What failed, how many requests were answered, and the longest wait in seconds."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.failures: list[str] = []
        self.answered = 0
        self.longest = 0.0
        self.over = False

    async def answered_more(self, count: int) -> None:
        """Wait until so many more were answered."""
        goal = self.answered + count
        async with asyncio.timeout(LIMIT):
            while self.answered < goal:
                await asyncio.sleep(0.005)

    async def fresh(self) -> None:
        """Each request on a connection of its own."""
        while not self.over:
            await self._count(self._once())
            await asyncio.sleep(PAUSE)

    async def kept(self) -> None:
        """One connection for as long as the server does not ask to close it."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.over:
            connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
            head = await self._count(_exchange(*connection, GET))
            if b"connection: close" in head or not head:
                connection[1].close()
                connection = None
            await asyncio.sleep(PAUSE)
        if connection:
            connection[1].close()

    async def pooled(self) -> None:
        """httpx with its pool of connections."""
        async with httpx.AsyncClient(timeout=LIMIT) as client:
            while not self.over:
                await self._count(self._pooled(client))
                await asyncio.sleep(PAUSE)

    async def _once(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await _exchange(reader, writer, ONCE)
        finally:
            writer.close()

    async def _pooled(self, client: httpx.AsyncClient) -> bytes:
        answer = await client.get(f"http://127.0.0.1:{self.port}/api/version")
        return f"HTTP/1.1 {answer.status_code}".encode()

    async def _count(self, asking: Awaitable[bytes]) -> bytes:
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(LIMIT):
                head = await asking
            if not head.startswith(b"HTTP/1.1 200"):
                raise OSError(f"answered {head[:40]!r}")
        except (OSError, EOFError, TimeoutError, httpx.HTTPError) as error:
            self.failures.append(repr(error))
            return b""
        self.answered += 1
        self.longest = max(self.longest, asyncio.get_running_loop().time() - began)
        return head


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower().replace(b"http/", b"HTTP/")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return head


@asynccontextmanager
async def load_on(port: int) -> AsyncIterator[Load]:
    """Five clients of three kinds, until the block ends."""
    load = Load(port)
    clients = (load.fresh(), load.fresh(), load.kept(), load.kept(), load.pooled())
    tasks = [asyncio.create_task(client) for client in clients]
    try:
        yield load
    finally:
        load.over = True
        await asyncio.gather(*tasks)
