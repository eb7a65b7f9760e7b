"""How fast a turn that streams is stopped: `cancel` over the WebSocket, and what it stops.

    python -m benchmarks.cancel                    the table
    python -m benchmarks.cancel --cancels 500      more of them
    python -m benchmarks.cancel --json             the figures

An agent in a process of its own streams from a model's server (here, in this
process, a token every 5 ms without end). A client lets it stream for a moment,
sends `cancel`, and waits for two things:

- told: the frame `cancelled`, with what was said until then written to the session
- stopped: the model's server sees its connection closed

Alone, and beside other clients whose turns stream all the time. Milliseconds;
the goal is 100 for the slowest of all.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import quantiles

import msgspec
import uvloop
from benchmarks.servers import cores, free_ports, running
from websockets.asyncio.client import ClientConnection, connect

GOAL = 100.0
BESIDE = (0, 20)
"""Other turns that stream meanwhile."""
_EVERY = 0.005
_LET_IT = 0.02
"""Seconds for which a turn streams before it is cancelled."""
_LIMIT = 20.0
_MANIFEST = '[agent]\nname = "Bench"\n[llm]\nprovider = "openai"\nmodel = "m"\nbase_url = "%s"\n'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'


class Figure(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p95: float
    max: float


class Endless:
    """A model's server; `ended` has the time at which each marked conversation was closed."""

    def __init__(self) -> None:
        self.ended: dict[bytes, asyncio.Future[float]] = {}

    def expect(self, mark: str) -> asyncio.Future[float]:
        """When the conversation that says `mark` is closed."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.ended[mark.encode()] = future
        return future

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; whatever is not a chat is answered with an empty list."""
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"POST"):
            writer.write(_HEAD.replace(b"text/event-stream", b"application/json") + b'{"data":[]}')
        else:
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            asked = await reader.readexactly(size)
            writer.write(_HEAD)
            await self._speak(reader, writer)
            for mark in [mark for mark in self.ended if mark in asked]:
                self.ended.pop(mark).set_result(time.perf_counter())
        writer.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.ensure_future(reader.read())
        while not gone.done() and not writer.is_closing():
            writer.write(_CHUNK)
            await asyncio.wait({gone}, timeout=_EVERY)
        gone.cancel()
        with suppress(OSError, asyncio.CancelledError):
            await gone


async def measure(cancels: int) -> dict[str, Figure]:
    """All figures: `told` and `stopped`, alone and beside others."""
    endless = Endless()
    server = await asyncio.start_server(endless.serve, "127.0.0.1", 0)
    model = server.sockets[0].getsockname()[1]
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory(prefix="atoll-cancel-") as folder:
        async with _agent(Path(folder), model) as port:
            for beside in BESIDE:
                told, stopped = await _cancelled(port, endless, cancels, beside)
                figures[f"told, {beside} beside"] = _figure(told)
                figures[f"stopped, {beside} beside"] = _figure(stopped)
    server.close()
    return figures


@asynccontextmanager
async def _agent(folder: Path, model: int) -> AsyncGenerator[int, None]:
    path = folder / "agent.toml"
    path.write_text(_MANIFEST % f"http://127.0.0.1:{model}/v1")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "atoll", "--server", "--port", str(port), "--agent", str(path)]
    environ = {"HOME": str(folder), "ATOLL_STATE_DIR": str(folder), "PATH": os.environ["PATH"]}
    agent = running(command, port, cores()[-1], environ=environ)
    await asyncio.to_thread(agent.__enter__)
    try:
        yield port
    finally:
        await asyncio.to_thread(agent.__exit__, None, None, None)


async def _cancelled(
    port: int, endless: Endless, cancels: int, beside: int
) -> tuple[list[float], list[float]]:
    told: list[float] = []
    stopped: list[float] = []
    async with AsyncExitStack() as stack:
        for _ in range(beside):
            await stack.enter_async_context(_streaming(port))
        client = await stack.enter_async_context(_client(port))
        for number in range(cancels):
            mark = f"mark-{beside}-{number}-end"
            ended = endless.expect(mark)
            await _speaking(client, mark)
            began = time.perf_counter()
            await client.send('{"type":"cancel"}')
            await _until(client, "cancelled")
            told.append(time.perf_counter() - began)
            stopped.append(await asyncio.wait_for(ended, _LIMIT) - began)
    return told, stopped


def _client(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}/ws/chat")


@asynccontextmanager
async def _streaming(port: int) -> AsyncGenerator[None, None]:
    """One more client whose turn streams, and who reads it."""
    async with _client(port) as client:
        await _speaking(client, f"beside-{id(client)}")
        reading = asyncio.create_task(_read(client))
        yield
        reading.cancel()


async def _read(client: ClientConnection) -> None:
    async for _ in client:
        pass


async def _speaking(client: ClientConnection, content: str) -> None:
    """Begin a turn in a session of its own, and let it stream for a moment."""
    await client.send(json.dumps({"content": content, "session_id": content}))
    until = time.perf_counter() + _LET_IT
    while time.perf_counter() < until:
        await _until(client, "assistant_token")


async def _until(client: ClientConnection, kind: str) -> None:
    wanted = f'"kind":"{kind}"'
    async with asyncio.timeout(_LIMIT):
        while wanted not in await client.recv(decode=True):
            pass


def _figure(seconds: list[float]) -> Figure:
    cuts = quantiles([each * 1000 for each in seconds], n=100, method="inclusive")
    return Figure(round(cuts[49], 2), round(cuts[94], 2), round(max(seconds) * 1000, 2))


def main() -> None:
    """Measure, tell, and fail when the slowest is over the goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(asked.cancels))
    if asked.json:
        print(msgspec.json.encode(figures).decode())
        return
    print("| cancel of a turn that streams | p50 | p95 | slowest | goal | held |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, figure in figures.items():
        held = "yes" if figure.max <= GOAL else "**no**"
        times = f"{figure.p50:.1f} ms | {figure.p95:.1f} ms | {figure.max:.1f} ms"
        print(f"| {name} | {times} | ≤ {GOAL:.0f} ms | {held} |")
    sys.exit(any(figure.max > GOAL for figure in figures.values()))


if __name__ == "__main__":
    main()
