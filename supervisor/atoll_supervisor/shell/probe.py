"""A real HTTP GET /health over a kept raw connection.

One connection per unit, no pool: a pool shared by the fleet is quadratic in
the number of units and delays checks by seconds (performance.md section 6).
The answer must come from the process that is asked about: it carries that
process's `instance_id` (faults.md rows 28 and 29).
"""

import asyncio
import time
from pathlib import Path

import httptools
import msgspec
from msgspec import Struct

from atoll.config.loopback import authority
from atoll.wire.json import JsonObject

LIMIT = 5.0
MAX_ANSWER = 65_536
_OK = range(200, 300)

Address = tuple[str, int] | Path
"""Host and port, or the path of a unix socket."""


class ProbeResult(Struct, frozen=True, kw_only=True):
    """What a probe found.

    `ok` is about the process alone: a unit whose model is out of reach is `ok`
    with `degraded` saying why. `health` is the decoded body, `seconds` the
    time the answer took.
    """

    ok: bool
    reason: str = ""
    degraded: str = ""
    seconds: float = 0.0
    health: JsonObject = {}


class Prober:
    """Probes one process; a new process needs a new prober.

    A server that is not `ours` (a service) may answer any body. A connection begins
    with the `greeting`, where the server wants one.
    """

    def __init__(
        self,
        address: Address,
        instance_id: str = "",
        path: str = "/health",
        limit: float = LIMIT,
        *,
        ours: bool = True,
        greeting: bytes = b"",
    ) -> None:
        self._address = address
        self._instance_id = instance_id
        self._limit = limit
        host = "localhost" if isinstance(address, Path) else authority(*address)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n"
        self._path = path
        self._ours = ours
        self._greeting = greeting
        self._connection: _Connection | None = None
        self._closed = False

    async def probe(self) -> ProbeResult:
        """Ask once; every fault comes back as a result with `ok` false."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._limit):
                status, body = await self._ask()
        except TimeoutError:
            return _failed(f"no answer within {self._limit:g} s")
        except (OSError, httptools.HttpParserError) as error:
            return _failed(_why(error))
        return self._judge(status, body, time.monotonic() - started)

    def close(self) -> None:
        """Give up the kept connection, and keep none from now on."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    async def _ask(self) -> tuple[int, bytes]:
        """Use the kept connection; one that the server closed meanwhile is replaced once."""
        kept, self._connection = self._connection, None
        if kept is not None:
            try:
                return await self._exchange(kept)
            except ConnectionError:
                pass
        return await self._exchange(await self._connect())

    async def _exchange(self, connection: "_Connection") -> tuple[int, bytes]:
        try:
            answer = await connection.ask(self._request.encode())
        except BaseException:
            connection.close()
            raise
        if connection.reusable and not self._closed:
            self._connection = connection
        else:
            connection.close()
        return answer

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        if isinstance(self._address, Path):
            path = str(self._address)
            transport, connection = await loop.create_unix_connection(_Connection, path)
        else:
            transport, connection = await loop.create_connection(_Connection, *self._address)
        connection.transport = transport
        if self._greeting:
            transport.write(self._greeting)
        return connection

    def _judge(self, status: int, body: bytes, seconds: float) -> ProbeResult:
        if status not in _OK:
            return _failed(f"{self._path} answered {status}")
        if not self._ours:
            return ProbeResult(ok=True, seconds=seconds)
        try:
            health = msgspec.json.decode(body, type=JsonObject)
        except msgspec.MsgspecError:
            return _failed("/health did not answer a JSON object")
        found = health.get("instance_id")
        if self._instance_id and found != self._instance_id:
            return _failed(f"another process answers here: instance {found!r}")
        return ProbeResult(ok=True, degraded=_degraded(health), seconds=seconds, health=health)


class _Connection(asyncio.Protocol):
    """One connection and at most one question on it at a time."""

    def __init__(self) -> None:
        self.reusable = False
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._closed = False

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send and wait for status and body; raises OSError, HttpParserError."""
        if self._closed or self.transport is None:
            raise ConnectionResetError
        self._parser = httptools.HttpResponseParser(self)
        self._body.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close without waiting for anything."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)

    def eof_received(self) -> None:
        """From asyncio."""
        self._fail(ConnectionResetError("closed without an answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""
        self._closed = True
        self._fail(exc or ConnectionResetError("closed without an answer"))

    def on_body(self, body: bytes) -> None:
        """From httptools."""
        self._body += body
        if len(self._body) > MAX_ANSWER:
            self._fail(ConnectionAbortedError(f"/health answered more than {MAX_ANSWER} bytes"))

    def on_message_complete(self) -> None:
        """From httptools."""
        self.reusable = self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), bytes(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _failed(reason: str) -> ProbeResult:
    return ProbeResult(ok=False, reason=reason)


def _degraded(health: JsonObject) -> str:
    """Why the unit works but cannot serve, or ""."""
    if health.get("status") != "degraded":
        return ""
    reason = health.get("reason")
    return reason if isinstance(reason, str) and reason else "degraded"


def _why(error: Exception) -> str:
    if isinstance(error, httptools.HttpParserError):
        return "answered something that is not HTTP"
    return str(error) or type(error).__name__
