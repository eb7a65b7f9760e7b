"""Load on one port: raw clients, on kept connections and on new ones, that count what fails."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n"
LIMIT = 20.0


class Met:
    """What the clients have met so far; `slowest` in seconds.

    `dropped` are kept connections that were closed without a word when the next
    question came; a client may simply ask again (RFC 9112 section 9.3.1).
    """

    def __init__(self) -> None:
        self.answers = 0
        self.dropped = 0
        self.failures: list[str] = []
        self.slowest = 0.0


@asynccontextmanager
async def hammering(port: int, clients: int = 4, pause: float = 0.01) -> AsyncGenerator[Met]:
    """Ask without end while inside; half of the clients keep their connection."""
    found = Met()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            kept = number % 2 == 0
            group.create_task(_client(port, found, over, pause, kept=kept))
        try:
            yield found
        finally:
            over.set()


async def _client(port: int, found: Met, over: asyncio.Event, pause: float, *, kept: bool) -> None:
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while not over.is_set():
        began = time.monotonic()
        fresh = streams is None
        try:
            async with asyncio.timeout(LIMIT):
                streams = streams or await asyncio.open_connection("127.0.0.1", port)
                keeps = await _ask(*streams, kept=kept)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            if fresh or not isinstance(error, OSError | asyncio.IncompleteReadError):
                found.failures.append(f"{type(error).__name__}: {error}")
            else:
                found.dropped += 1
            keeps = False
        else:
            found.answers += 1
            found.slowest = max(found.slowest, time.monotonic() - began)
        if not keeps and streams is not None:
            streams[1].close()
            streams = None
        await asyncio.sleep(pause)
    if streams is not None:
        streams[1].close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, kept: bool) -> bool:
    """One request; whether the connection may be used again."""
    writer.write(GET % (b"" if kept else b"Connection: close\r\n"))
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(head.decode())
    lines = head.lower().split(b"\r\n")
    size = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    await reader.readexactly(size)
    return kept and b"connection: close" not in lines
