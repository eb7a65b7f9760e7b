"""A small HTTP/1.1 client for the token path (RFC 9112): kept connections, bodies as they come.

For plain http over TCP or a unix socket. Who needs TLS, a proxy, redirects or
compression takes httpx. A body is handed on in the pieces in which it arrives,
and what has arrived together is one piece.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import httptools
from msgspec import Struct

MOST_BUFFERED = 1 << 20
"""Bytes of a body that wait for their reader before the server has to."""
MOST_HEAD = 64 * 1024
IDLE = 3.0
"""Seconds a connection is kept: less than the 5 s after which llama.cpp and uvicorn close it."""

Headers = Sequence[tuple[bytes, bytes]]


class Unreachable(Exception):
    """No connection could be made; the cause is the OSError, or a TimeoutError."""


class Broken(Exception):
    """The answer ended before it was complete, or is not HTTP.

    `untouched` tells that not a byte of it had come.
    """

    def __init__(self, words: str, *, untouched: bool) -> None:
        super().__init__(words)
        self.untouched = untouched


class Silent(Exception):
    """Nothing came for as long as one was ready to wait."""


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

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self.status = connection.status
        self.headers = tuple(connection.headers)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes; raises Broken or Silent when it ends too early."""
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
        self._free: deque[tuple[_Connection, float]] = deque()

    @asynccontextmanager
    async def ask(
        self, method: str, target: str, headers: Headers, body: bytes | None, patience: float
    ) -> AsyncGenerator[Answer]:
        """Send a request and wait for the head of its answer, `patience` seconds between bytes.

        Leaving before the end of the body closes the connection, by which the
        server knows that nobody wants the rest. A kept connection that turns
        out to be closed is no failure: the request is sent again on another.
        """
        request = self._request(method, target, headers, body)
        connection = await self._sent(request, patience)
        try:
            yield Answer(connection)
        finally:
            self._put_back(connection)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            self._free.pop()[0].close()

    async def _sent(self, request: bytes, patience: float) -> "_Connection":
        while (kept := self._take()) is not None:
            try:
                return await _exchanged(kept, request, patience)
            except Broken as error:
                if not error.untouched:
                    raise
        return await _exchanged(await self._connect(), request, patience)

    def _take(self) -> "_Connection | None":
        now = asyncio.get_running_loop().time()
        while self._free:
            connection, since = self._free.pop()
            if connection.is_free and now - since < self._idle:
                return connection
            connection.close()
        return None

    def _put_back(self, connection: "_Connection") -> None:
        connection.rest()
        if not connection.is_free:
            connection.close()
            return
        now = asyncio.get_running_loop().time()
        self._free.append((connection, now))
        while self._free and now - self._free[0][1] >= self._idle:
            self._free.popleft()[0].close()

    async def _connect(self) -> "_Connection":
        loop, place = asyncio.get_running_loop(), self._place
        try:
            async with asyncio.timeout(self._connect_limit):
                if place.socket is not None:
                    _, made = await loop.create_unix_connection(_Connection, str(place.socket))
                else:
                    _, made = await loop.create_connection(_Connection, place.host, place.port)
        except (OSError, TimeoutError) as error:
            raise Unreachable(str(error)) from error
        return made

    def _request(self, method: str, target: str, headers: Headers, body: bytes | None) -> bytes:
        head = [f"{method} {target} HTTP/1.1\r\nHost: {self._place.authority}\r\n".encode("ascii")]
        head += [b"%b: %b\r\n" % header for header in headers]
        if body is not None:
            head.append(b"Content-Length: %d\r\n" % len(body))
        return b"".join((*head, b"\r\n", body or b""))


async def _exchanged(connection: "_Connection", request: bytes, patience: float) -> "_Connection":
    try:
        await connection.exchange(request, patience)
    except BaseException:
        connection.close()
        raise
    return connection


@runtime_checkable
class _Wire(Protocol):
    """What is used of a transport: uvloop's are no subclasses of asyncio's."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class _Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._transport: _Wire | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._busy = False
        self._touched = False
        self._head_size = 0
        self._has_head = False
        self._complete = False
        self._keeps = False
        self._fault: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._patience = 0.0
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_free(self) -> bool:
        """Whether another request may be sent."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and not self._busy and self._keeps and self._fault is None

    async def exchange(self, request: bytes, patience: float) -> None:
        """Send a request; returns when the head of the answer is there."""
        self._begin(patience)
        if self._transport is not None:
            self._transport.write(request)
        while not self._has_head:
            await self._more()

    async def piece(self) -> bytes:
        """Whatever of the body has come, b"" at its end."""
        while not self._body:
            if self._complete:
                self.rest()
                return b""
            await self._more()
        data = b"".join(self._body) if len(self._body) > 1 else self._body[0]
        self._body.clear()
        self._buffered = 0
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    def rest(self) -> None:
        """Be done with the answer, if it has been read to its end."""
        if self._complete and not self._body:
            self._end()

    def close(self) -> None:
        """Close it at once."""
        self._end()
        self._keeps = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        assert isinstance(transport, _Wire)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        if not self._busy or self._complete:
            self.close()  # nobody asked for this
            return
        self._touched = True
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Broken(f"it is not HTTP: {error}", untouched=False))
        self._head_size += 0 if self._has_head else len(data)
        if self._head_size > MOST_HEAD:
            self._fail(Broken("its head is too long", untouched=False))
        if self._buffered > MOST_BUFFERED and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio; a body without a length ends here (RFC 9112 section 6.3)."""
        self._keeps = False
        if exc is None and self._busy and self._has_head and not self._is_framed():
            self._complete = True
            self._wake()
        elif self._busy and not self._complete:
            words = str(exc) if exc else "the connection was closed"
            self._fail(Broken(words, untouched=not self._touched))

    def on_message_begin(self) -> None:
        """From httptools; a second answer to one request is a fault of the server."""
        if self._complete:
            raise Broken("it answered more than it was asked", untouched=False)
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """From httptools."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """From httptools; what comes before the real answer (1xx) is passed over."""
        self.status = self._parser.get_status_code()
        self._has_head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        """From httptools."""
        self._body.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """From httptools."""
        if self._has_head:
            self._complete = True
            self._keeps = self._parser.should_keep_alive()

    def _begin(self, patience: float) -> None:
        self._busy, self._keeps = True, False
        self._touched = self._has_head = self._complete = False
        self._head_size = 0
        self._patience, self._heard = patience, self._loop.time()
        self._watch = self._loop.call_later(patience, self._look)

    def _end(self) -> None:
        self._busy = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self) -> None:
        """One timer for all silences: it is set anew only when it has rung."""
        quiet = self._loop.time() - self._heard
        if self._complete or self._paused:
            quiet = 0.0
        if quiet >= self._patience:
            self._fail(Silent(f"nothing came for {self._patience:g} s"))
        else:
            self._watch = self._loop.call_later(self._patience - quiet, self._look)

    async def _more(self) -> None:
        if self._fault is not None:
            raise self._fault
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._fault is not None and not self._body:
            raise self._fault

    def _fail(self, fault: Exception) -> None:
        self._fault = self._fault or fault
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_framed(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
