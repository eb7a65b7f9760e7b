"""The agent's HTTP face on a real socket, in a thread, over a fake model."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvloop

from atoll.adapters.session_store import SqliteSessions
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest
from atoll.core.papers import Seal
from atoll.http.app import guarded
from atoll.http.protocol import Limits
from atoll.http.serving import HttpServer
from atoll.http.sockets import bind
from atoll.loop.agent import Agent, Identity
from atoll.ports import Chunk, Clock, ModelRequest, TextDelta, Toolbox
from tests.fakes.ports import FakeModel, FakeTools

MANIFEST = Manifest(agent=AgentTable(name="GhidraAgent"))


class RealClock:
    """The machine's clock."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def now(self) -> float:
        return time.time()


class EndlessModel(FakeModel):
    """Says `word` until it is stopped; `stopped` is set when it is."""

    def __init__(self, word: str = "tick ") -> None:
        super().__init__()
        self.word = word
        self.stopped = threading.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        try:
            while True:
                yield TextDelta(self.word)
                await asyncio.sleep(0.01)
        finally:
            self.stopped.set()


class Served:
    """A running server; `stop` drains it."""

    def __init__(self, agent: Agent, server: HttpServer, port: int) -> None:
        self.agent = agent
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._loop = asyncio.get_running_loop()

    def leave(self) -> None:
        with suppress(RuntimeError):  # it has left already
            self._loop.call_soon_threadsafe(self.server.leave)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, data: bytes) -> bytes:
        """Everything the server answers to these bytes until it closes."""
        with self.connect() as sock:
            with suppress(OSError):  # refused before it was all sent; the answer is there
                sock.sendall(data)
            return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    parts: list[bytes] = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def run_on_uvloop(work: Coroutine[None, None, None]) -> None:
    """Run `work` as the product does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def agent_over(
    model: FakeModel,
    folder: Path,
    tools: Toolbox | None = None,
    manifest: Manifest = MANIFEST,
    clock: Clock | None = None,
    key: str = "",
) -> Agent:
    """An agent on a fake model with real sessions, which live 1,800 seconds of that clock.

    `key` is its fleet's.
    """
    clock = clock or RealClock()
    identity = Identity(
        manifest=manifest,
        checksum="c0ffee",
        backend="scripted",
        model_name="llama2",
        instance_id="instance",
        seal=Seal(key, "instance"),
    )
    sessions = SqliteSessions(folder / "sessions.db", 1800, clock)
    return Agent(identity, model, tools or FakeTools(), sessions, clock)


def read_answer(sock: socket.socket) -> bytes:
    """One answer of a connection that is kept: its head, and as much body as it announces."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _some(sock)
    return head + b"\r\n\r\n" + body


def _some(sock: socket.socket) -> bytes:
    if part := sock.recv(65536):
        return part
    raise ConnectionResetError("closed before the answer was complete")


@contextmanager
def serving(
    model: FakeModel,
    folder: Path,
    *,
    tools: FakeTools | None = None,
    manifest: Manifest = MANIFEST,
    limits: Limits | None = None,
    stop_timeout: float = 5.0,
    token: str = "",
    key: str = "",
) -> Iterator[Served]:
    """Serve an agent until the block ends."""
    box: list[Served] = []
    up = threading.Event()

    async def run() -> None:
        agent = agent_over(model, folder, tools, manifest, key=key)
        sock = bind("127.0.0.1", 0)
        app = guarded(agent, "127.0.0.1", "thismachine", token)
        server = HttpServer(app, sock, stop_timeout=stop_timeout, limits=limits, websockets=True)
        box.append(Served(agent, server, sock.getsockname()[1]))
        task = asyncio.create_task(server.serve())
        await server.started()
        up.set()
        await task
        await agent.close()

    thread = threading.Thread(target=run_on_uvloop, args=(run(),))
    thread.start()
    try:
        assert up.wait(20)
        yield box[0]
    finally:
        for served in box:
            served.leave()
            served.leave()
        thread.join(20)
        assert not thread.is_alive()
