"""One server process replaced by another on one held socket, under load."""

import asyncio
import socket
import threading
import time
from pathlib import Path

from atoll.http.app import guarded
from atoll.http.serving import HttpServer
from atoll.http.sockets import bind
from tests.fakes.ports import FakeModel
from tests.fakes.serving import agent_over, read_answer, run_on_uvloop

GET = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"


def replaced_under_load(folder: Path, rounds: int = 3) -> tuple[list[str], int]:
    """What failed, and how many requests were answered, while servers took turns."""
    held = bind("127.0.0.1", 0)
    load = _Load(held.getsockname()[1])
    try:
        run_on_uvloop(_take_turns(held, folder, rounds, load))
    finally:
        load.stop()
        held.close()
    return load.failures, load.answered


async def _take_turns(held: socket.socket, folder: Path, rounds: int, load: "_Load") -> None:
    server, task = await _start(held, folder)
    load.start()
    for number in range(rounds):
        await load.answered_at_least(50 * (number + 1))
        successor = await _start(held, folder)
        await server.drain()
        await task
        server, task = successor
    await asyncio.to_thread(load.stop)
    await server.drain()
    await task


async def _start(held: socket.socket, folder: Path) -> tuple[HttpServer, "asyncio.Task[None]"]:
    agent = agent_over(FakeModel(), folder)
    app = guarded(agent, "127.0.0.1", "thismachine")
    server = HttpServer(app, held.dup(), stop_timeout=5)
    task = asyncio.create_task(server.serve())
    await server.started()
    return server, task


class _Load:
    """Clients that keep their connection until told to close it, and never retry."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]
        self.failures: list[str] = []
        self.answered = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def answered_at_least(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.answered < count:
                await asyncio.sleep(0.005)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(20)

    def _ask(self) -> None:
        sock: socket.socket | None = None
        while not self._over.is_set():
            try:
                sock = sock or socket.create_connection(("127.0.0.1", self._port), timeout=10)
                sock.sendall(GET)
                answer = read_answer(sock)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise OSError(f"answered {answer[:40]!r}")
            except OSError as error:
                self.failures.append(str(error))
                sock = None
                continue
            self.answered += 1
            if b"connection: close" in answer:
                sock.close()
                sock = None
            time.sleep(0.002)
        if sock is not None:
            sock.close()
