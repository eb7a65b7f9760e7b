"""One connection of the HTTP/1.1 client (`http1`): a request, and its answer as it comes."""

import asyncio
from collections import deque
from typing import Protocol, runtime_checkable

import httptools

MOST_BUFFERED = 1 << 20
"""Bytes of a body that wait for their reader before the server has to."""
MOST_HEAD = 64 * 1024


class Broken(Exception):
    """The answer ended before it was complete, or is not HTTP.

    `untouched` tells that not a byte of it had come.
    """

    def __init__(self, words: str, *, untouched: bool) -> None:
        super().__init__(words)
        self.untouched = untouched


class Lost(Broken):
    """The connection ended before the answer was complete."""


class Silent(Exception):
    """Nothing came for as long as one was ready to wait."""


@runtime_checkable
class _Wire(Protocol):
    """What is used of a transport: uvloop's are no subclasses of asyncio's."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Connection(asyncio.Protocol):
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

    async def begun(self) -> None:
        """Wait for the body's first bytes; for all of them, if their number is told and not large.

        Until then nothing of the answer has to be passed on.
        """
        while not self._complete and (not self._body or self._is_short()):
            await self._more()

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
            self._fail(Lost(words, untouched=not self._touched))

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

    def _is_short(self) -> bool:
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return length.isdigit() and int(length) <= MOST_BUFFERED
