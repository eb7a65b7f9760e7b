"""A model server that answers as a test says, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

Answers = Callable[[str], bytes | None]
"""The whole answer to a path, head and all; None to say nothing until the client leaves."""


def answer(body: bytes, status: int = 200, head: str = "") -> bytes:
    """One with its length."""
    return f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def endless(status: int = 200) -> bytes:
    """The beginning of one without an end; the server goes on with more of the same."""
    return f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


class Served(Struct):
    """A server: where it is, what it was asked, and whether a client left in the middle."""

    port: int
    asked: list[str]
    left: asyncio.Event


@asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[Served]:
    """Serve until the test is over."""
    served = Served(0, [], asyncio.Event())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await _one(served, answers, reader, writer)
        served.left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


async def _one(
    served: Served, answers: Answers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if "content-length: " in head:
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
    path = head.split(" ")[1]
    served.asked.append(path)
    given = answers(path)
    if given is None:
        await reader.read()
        raise ConnectionError
    writer.write(given)
    while b"chunked" in given[:80]:
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()
    await writer.drain()
