"""A thousand sessions and a hundred turns at once, on one agent in a process of its own."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.servers import cores, free_ports, running
from benchmarks.supervision import client
from benchmarks.supervision.client import HOST, LIMIT, Answer, Exchange
from benchmarks.supervision.processes import MIB, pss

MANIFEST = """
[agent]
name = "Agent"

[llm]
provider = "scripted"
script = "script.toml"

[resources]
max_concurrent_requests = {turns}
max_queue = {sessions}
"""
WORDS = 100
SCRIPT = f"""
[[turn]]
match = "slowly"
chunks = [{", ".join(['"word "'] * WORDS)}]
delay = 0.05

[[turn]]
text = "{"word " * WORDS}"
"""
"""A hundred words, at once or within five seconds."""
MESSAGE = "What would you say to this? " * 18
"""Some 500 characters."""
CONNECTIONS = 16


class Wrong(Exception):
    """The agent did something else than was asked of it."""


class Memory(NamedTuple):
    """MiB of the agent's process, and how many sessions and turns it had in it."""

    idle: float
    most_pss: float
    most_rss: float
    sessions: int
    turns: int


def measured(folder: Path, sessions: int, turns: int) -> Memory:
    """Start the agent, measure, end it; raises Wrong, DidNotStart or OSError."""
    (folder / "script.toml").write_text(SCRIPT)
    manifest = folder / "agent.toml"
    manifest.write_text(MANIFEST.format(turns=turns, sessions=max(sessions, turns)))
    [port] = free_ports(1)
    command = [sys.executable, "-m", "atoll", "--server", "--agent", str(manifest)]
    environ = {"PATH": os.environ["PATH"], "ATOLL_STATE_DIR": str(folder / "state")}
    with running([*command, "--port", str(port)], port, cores()[0], environ=environ):
        return asyncio.run(_loaded(port, sessions, turns))


async def _loaded(port: int, sessions: int, turns: int) -> Memory:
    pid = (await client.get(port)).pid
    idle = pss([pid])
    shares = [range(first, sessions, CONNECTIONS) for first in range(CONNECTIONS)]
    await asyncio.gather(*(_talk(port, share) for share in shares))
    streams = [asyncio.create_task(_slowly(port, number)) for number in range(turns)]
    most, at_once = 0.0, 0
    while not all(stream.done() for stream in streams):
        most = max(most, pss([pid]))
        at_once = max(at_once, int(await _told(port, "/health", "in_flight")))
        await asyncio.sleep(0.1)
    await asyncio.gather(*streams)
    alive = int(await _told(port, "/api/sessions", "active_sessions"))
    return Memory(idle, most, most_rss(pid), alive, at_once)


async def _told(port: int, path: str, key: str) -> float:
    answer = await client.get(port, path)
    if answer.kind != "ok":
        raise Wrong(f"{path} answered {answer.kind}")
    return float(json.loads(answer.body)[key])


async def _talk(port: int, numbers: range) -> None:
    """One message to each of these sessions, over one connection."""
    _, exchange = await asyncio.get_running_loop().create_connection(Exchange, HOST, port)
    try:
        for number in numbers:
            answer = await _sent(exchange, {"message": MESSAGE, "session_id": f"session-{number}"})
            if answer.kind != "ok":
                raise Wrong(f"/chat answered {answer.kind} {answer.status}")
    finally:
        exchange.close()


async def _sent(exchange: Exchange, body: dict[str, str]) -> Answer:
    async with asyncio.timeout(LIMIT):
        return await exchange.ask(_post("/chat", body, close=False))


async def _slowly(port: int, number: int) -> None:
    """A turn of a session, read to its end."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        message = {"message": f"slowly, {MESSAGE}", "session_id": f"session-{number}"}
        writer.write(_post("/stream", message, close=True))
        async with asyncio.timeout(60):
            said = await reader.read(-1)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if b'"run_end"' not in said:
        raise Wrong(f"a stream ended with {said[-200:]!r}")


def _post(path: str, message: dict[str, str], *, close: bool) -> bytes:
    body = json.dumps(message).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: {'close' if close else 'keep-alive'}\r\n"
    return head.encode() + b"\r\n" + body


def most_rss(pid: int) -> float:
    """The most memory that the process has had resident so far (VmHWM), in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MIB
    raise Wrong("the kernel does not tell VmHWM")
