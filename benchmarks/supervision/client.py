"""The client: HTTP over raw asyncio, open loop, so that a slow server cannot slow it down.

A request's latency counts from the moment it was *due*, not from the moment it
could be sent, so that a pause of the server is seen by every request that fell
into it (no "coordinated omission").
"""

import asyncio
import errno
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Literal, NamedTuple, Protocol, runtime_checkable

Kind = Literal["ok", "refused", "reset", "empty", "cut", "status", "timeout", "error"]
"""empty: closed without an answer; cut: in the middle of one; status: an answer other than 200."""

HOST = "127.0.0.1"
LIMIT = 10.0
"""Seconds after which a request has failed."""

_PID = re.compile(rb'"pid":\s*(\d+)')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_PAUSE = 0.02


class Answer(NamedTuple):
    """What came of one request; `pid` is that of the process which answered, 0 when unknown.

    `status` is the status line's number, 0 without an answer.
    """

    kind: Kind
    pid: int = 0
    body: bytes = b""
    status: int = 0


class Shot(NamedTuple):
    """One request of a load: when it was due (monotonic), how long it took from then on."""

    due: float
    took: float
    port: int
    answer: Answer

    @property
    def failed(self) -> bool:
        """Whether it was answered by anything but 200."""
        return self.answer.kind != "ok"


@runtime_checkable
class Sender(Protocol):
    """What is needed of a transport; uvloop's are no subclasses of asyncio's."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


class Exchange(asyncio.Protocol):
    """One connection; requests on it are made one after the other."""

    def __init__(self) -> None:
        self._transport: Sender | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._received = b""
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Sender)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request; its answer comes by the future, failures too."""
        self._answer = asyncio.get_running_loop().create_future()
        self._received = b""
        if self._transport is None or self.closed:
            self._answer.set_result(Answer("reset"))
        else:
            self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if gap and found and len(body) >= int(found[1]):
            status = int(head.split(b" ", 2)[1])
            self._settle(Answer("ok" if status == 200 else "status", _pid_in(body), body, status))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._received:
            self._settle(Answer("cut"))
        else:
            self._settle(Answer("reset" if exc else "empty"))

    def close(self) -> None:
        """Let go of the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def request_for(path: str, *, keep: bool = False) -> bytes:
    """A GET request."""
    connection = "keep-alive" if keep else "close"
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: {connection}\r\n\r\n".encode()


async def get(port: int, path: str = "/health", limit: float = LIMIT) -> Answer:
    """One request over a new connection; never raises."""
    loop = asyncio.get_running_loop()
    exchange: Exchange | None = None
    try:
        async with asyncio.timeout(limit):
            _, exchange = await loop.create_connection(Exchange, HOST, port)
            return await exchange.ask(request_for(path))
    except TimeoutError:
        return Answer("timeout")
    except OSError as error:
        return Answer(kind_of(error))
    finally:
        if exchange is not None:
            exchange.close()


def kind_of(error: OSError) -> Kind:
    """How a connection failed."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "reset" if error.errno in (errno.ECONNRESET, errno.EPIPE) else "error"


class Load:
    """`rate` requests a second, each on a new connection, over the ports in turn.

    Goes on until `stop`, whatever becomes of the requests.
    """

    def __init__(self, ports: Sequence[int], rate: float, path: str = "/health") -> None:
        self._ports = ports
        self._rate = rate
        self._path = path
        self._shots: list[Shot] = []
        self._flying: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.sent = 0

    def start(self) -> "Load":
        """Begin."""
        self._task = asyncio.create_task(self._run())
        return self

    async def stop(self) -> list[Shot]:
        """Send no more; every shot, once the last one has been answered or has failed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._flying:
            await asyncio.wait(self._flying)
        return sorted(self._shots)

    async def _run(self) -> None:
        begin = time.monotonic()
        for number in count():
            due = begin + number / self._rate
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            self.sent += 1
            task = asyncio.create_task(self._shoot(due, self._ports[number % len(self._ports)]))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)

    async def _shoot(self, due: float, port: int) -> None:
        answer = await get(port, self._path)
        self._shots.append(Shot(due, time.monotonic() - due, port, answer))


async def until_healthy(port: int, not_pid: int = 0, limit: float = 60.0) -> float | None:
    """When (monotonic) a process other than `not_pid` answered /health; None after `limit`."""
    until = time.monotonic() + limit
    while (left := until - time.monotonic()) > 0:
        answer = await get(port, limit=min(left, 1.0) if not_pid else left)
        if answer.kind == "ok" and answer.pid != not_pid:
            return time.monotonic()
        await asyncio.sleep(0.002 if not_pid else _PAUSE)
    return None


async def until_all_healthy(ports: Iterable[int], limit: float = 120.0) -> bool:
    """Whether all of them answered /health within `limit` seconds."""
    found = await asyncio.gather(*(until_healthy(port, limit=limit) for port in ports))
    return None not in found


async def pids_of(ports: Iterable[int]) -> dict[int, int]:
    """Which process answers at each port, as /health says; ports without an answer are left out."""
    listed = list(ports)
    answers = await asyncio.gather(*map(get, listed))
    return {port: answer.pid for port, answer in zip(listed, answers, strict=True) if answer.pid}


def kinds(shots: Iterable[Shot]) -> dict[str, int]:
    """Failed requests by kind; answers other than 200 by their status."""
    failed = (shot.answer for shot in shots if shot.failed)
    return dict(Counter(str(answer.status or answer.kind) for answer in failed))


def worst_ms(shots: Iterable[Shot]) -> float:
    """Slowest of the answered requests."""
    return max((shot.took for shot in shots if not shot.failed), default=0.0) * 1000


def _pid_in(body: bytes) -> int:
    found = _PID.search(body)
    return int(found[1]) if found else 0
