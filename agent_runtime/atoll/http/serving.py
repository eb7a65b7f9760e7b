"""uvicorn on a socket that is already bound, with a stop that loses no request.

The drain is the one that lost 0 of 8000 requests in performance.md section 3:
leave the listening socket to the successor, ask kept connections to go, give
idle ones a moment, then wait for what is in flight.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate

import uvicorn

from atoll.adapters.listening import BACKLOG
from atoll.http.asgi import AsgiApp
from atoll.http.protocol import BoundedProtocol, Limits, protocol_with
from atoll.http.relayed import relayed_protocol

MAX_WEBSOCKET_MESSAGE = 1024 * 1024
IDLE_WAIT = 2.0
"""Seconds a kept connection gets to send one last request."""
_POLL = 0.02
_TURNS = 5
"""Of the loop, generously counted."""
_LAST_WORDS = 1.0
"""Seconds a cancelled request gets to clean up and to say its end."""


class HttpServer:
    """Serves `app` on `sock`; takes no signals, so that its owner decides when to stop.

    `stop_timeout` in seconds bounds the whole drain. An application that does
    nothing at its start and end needs no `lifespan`; one without WebSockets no
    `websockets`. With a `key`, only the relay that knows it is served.
    """

    def __init__(
        self,
        app: AsgiApp,
        sock: socket.socket,
        *,
        stop_timeout: float,
        limits: Limits | None = None,
        lifespan: bool = True,
        websockets: bool = False,
        key: str = "",
    ) -> None:
        _log_errors_only()
        protocol = (
            relayed_protocol(limits or Limits(), key, websockets=websockets)
            if key
            else protocol_with(limits or Limits(), websockets=websockets)
        )
        config = _config(app, protocol, stop_timeout, lifespan=lifespan)
        self._sock = sock
        self._server = _Server(config, stop_timeout)
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        """Serve until told to stop; returns when everything is closed."""
        try:
            await self._server.serve(sockets=[self._sock])
        finally:
            self._ended.set()
            self._server.accepting.set()

    async def started(self) -> bool:
        """Wait until connections are accepted; False when `serve` failed, or is to stop already."""
        await self._server.accepting.wait()
        return not (self._ended.is_set() or self._server.leaving.is_set())

    def leave(self) -> None:
        """Begin to drain; called again, stop without waiting for what is in flight."""
        if self._server.leaving.is_set():
            self._server.deadline = 0.0
        self._server.leaving.set()

    async def drain(self) -> None:
        """Stop without losing a request; returns when `serve` has ended."""
        self.leave()
        await self._ended.wait()


def _log_errors_only() -> None:
    """Uvicorn would do it anew for each server, and with it empty the caches of all loggers."""
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        log = logging.getLogger(name)
        if log.level != logging.ERROR:
            log.setLevel(logging.ERROR)


def _config(
    app: AsgiApp, protocol: type[BoundedProtocol], stop_timeout: float, *, lifespan: bool
) -> uvicorn.Config:
    limits = protocol.limits
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",  # the protocol looks for it itself, later
        lifespan="on" if lifespan else "off",
        log_config=None,
        log_level=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        ws_max_size=MAX_WEBSOCKET_MESSAGE,
        ws_ping_interval=limits.ping_interval,
        ws_ping_timeout=limits.ping_timeout,
        ws_per_message_deflate=False,  # 300 KiB of each connection, and bombs
        timeout_keep_alive=limits.keep_alive,
        timeout_graceful_shutdown=int(stop_timeout),
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stop_timeout: float) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self.leaving = asyncio.Event()
        self.deadline: float | None = None
        self._stop_timeout = stop_timeout

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        """Wait for the order to leave; uvicorn's own loop wakes up ten times a second."""
        while not self.leaving.is_set():
            date = (b"date", formatdate(usegmt=True).encode())
            self.server_state.default_headers = [date]
            try:
                async with asyncio.timeout(1.0):
                    await self.leaving.wait()
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.deadline is None:
            self.deadline = time.monotonic() + self._stop_timeout
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        # New answers on kept connections say that it is time to leave.
        self.server_state.default_headers.append((b"connection", b"close"))
        # Whom the loop has accepted already becomes a connection only in one of its next turns.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        await self._quiet(time.monotonic() + IDLE_WAIT)
        for connection in list(self.server_state.connections):
            connection.shutdown()  # closes idle ones at once, others after their answers
        await self._quiet(self.deadline)
        await self._cancel_rest()
        await self.lifespan.shutdown()

    async def _quiet(self, until: float) -> None:
        """Wait until nothing is connected, `until` at most; a second `leave` cuts it short."""
        # uvicorn keeps sets and tells nobody when they are empty.
        while self._busy() and time.monotonic() < min(until, self.deadline or 0.0):  # noqa: ASYNC110
            await asyncio.sleep(_POLL)

    def _busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    async def _cancel_rest(self) -> None:
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel("the server stops")
        until = time.monotonic() + _LAST_WORDS
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)
        # What they said last must leave the buffers: an abort throws those away.
        while self.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
