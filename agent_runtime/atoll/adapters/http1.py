"""A small HTTP/1.1 client for the token path (RFC 9112): kept connections, bodies as they come.

For plain http over TCP or a unix socket. Who needs TLS, a proxy, redirects or
compression takes httpx. A body is handed on in the pieces in which it arrives,
and what has arrived together is one piece.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from msgspec import Struct

from atoll.adapters.http1_connection import Broken, Connection

IDLE = 3.0
"""Seconds a connection is kept: less than the 5 s after which llama.cpp and uvicorn close it."""

Headers = Sequence[tuple[bytes, bytes]]


class Unreachable(Exception):
    """No connection could be made; the cause is the OSError, or a TimeoutError."""


class Place(Struct, frozen=True):
    """Where a server listens; with `socket` that unix socket, and `host` is only a name."""

    host: str
    port: int
    socket: Path | None = None

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.socket is not None else f"{host}:{self.port}"


class Answer:
    """A response whose head has come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.status = connection.status
        self.headers = tuple(connection.headers)

    async def begun(self) -> None:
        """Wait until something can be passed on; raises Broken or Silent when nothing can.

        A body whose length is told is complete then, if it has at most 1 MiB.
        """
        await self._connection.begun()

    async def piece(self) -> bytes:
        """What of the body has come, b"" at its end; raises Broken or Silent when it is early."""
        return await self._connection.piece()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes; raises as `piece`."""
        while data := await self._connection.piece():
            yield data

    async def whole(self, most: int) -> bytes:
        """The body, or Broken when it has more than `most` bytes."""
        body = bytearray()
        while data := await self._connection.piece():
            body += data
            if len(body) > most:
                raise Broken(f"it answered more than {most} bytes", untouched=False)
        return bytes(body)


class Pool:
    """Connections to one place, made when they are needed and kept for a while."""

    def __init__(self, place: Place, connect_limit: float = 5.0, idle: float = IDLE) -> None:
        self._place = place
        self._connect_limit = connect_limit
        self._idle = idle
        self._free: deque[tuple[Connection, float]] = deque()

    def ask(
        self, method: str, target: str, headers: Headers, body: bytes | None, patience: float
    ) -> "Asked":
        """Send a request and wait for the head of its answer, `patience` seconds between bytes.

        Leaving before the end of the body closes the connection, by which the
        server knows that nobody wants the rest. A kept connection that turns
        out to be closed is no failure: the request is sent again on another.
        """
        return Asked(self, self._request(method, target, headers, body), patience)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            self._free.pop()[0].close()

    async def sent(self, request: bytes, patience: float) -> Connection:
        """The connection on which the answer's head has come."""
        while (kept := self._take()) is not None:
            try:
                return await _exchanged(kept, request, patience)
            except Broken as error:
                if not error.untouched:
                    raise
        return await _exchanged(await self._connect(), request, patience)

    def _take(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._free:
            connection, since = self._free.pop()
            if connection.is_free and now - since < self._idle:
                return connection
            connection.close()
        return None

    def put_back(self, connection: Connection) -> None:
        """Keep it for another request, or close it in the middle of its answer."""
        connection.rest()
        if not connection.is_free:
            connection.close()
            return
        now = asyncio.get_running_loop().time()
        self._free.append((connection, now))
        while self._free and now - self._free[0][1] >= self._idle:
            self._free.popleft()[0].close()

    async def _connect(self) -> Connection:
        loop, place = asyncio.get_running_loop(), self._place
        try:
            async with asyncio.timeout(self._connect_limit):
                if place.socket is not None:
                    _, made = await loop.create_unix_connection(Connection, str(place.socket))
                else:
                    _, made = await loop.create_connection(Connection, place.host, place.port)
        except (OSError, TimeoutError) as error:
            raise Unreachable(str(error)) from error
        return made

    def _request(self, method: str, target: str, headers: Headers, body: bytes | None) -> bytes:
        head = [f"{method} {target} HTTP/1.1\r\nHost: {self._place.authority}\r\n".encode("ascii")]
        head += [b"%b: %b\r\n" % header for header in headers]
        if body is not None:
            head.append(b"Content-Length: %d\r\n" % len(body))
        return b"".join((*head, b"\r\n", body or b""))


class Asked:
    """A request while its answer is read, as an asynchronous context manager."""

    def __init__(self, pool: Pool, request: bytes, patience: float) -> None:
        self._pool = pool
        self._request = request
        self._patience = patience
        self._connection: Connection | None = None

    async def __aenter__(self) -> Answer:
        self._connection = await self._pool.sent(self._request, self._patience)
        return Answer(self._connection)

    async def __aexit__(self, *_raised: object) -> None:
        if self._connection is not None:
            self._pool.put_back(self._connection)


async def _exchanged(connection: Connection, request: bytes, patience: float) -> Connection:
    try:
        await connection.exchange(request, patience)
    except BaseException:
        connection.close()
        raise
    return connection
