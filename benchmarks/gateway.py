"""What the gateway adds to a first token, and how fast it lists a hundred agents.

    python -m benchmarks.gateway [--rounds 10] [--requests 50] [--agents 100] [--write]

One fleet of its own, one client on kept connections. Each round asks the same
agent by turns at its own port and through the gateway, for a streamed answer
of the rule-based back end; the first token is there when the first byte of the
body is. The lists are asked once to warm them, then `GET /api/tags` and a
`POST /api/show` for each agent are timed as one. `--write` puts the table into
docs/benchmarks.md. Exit 1 when a goal is missed.
"""

import argparse
import asyncio
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.fleet import Wrong, measured, started
from benchmarks.supervision.install import ours
from benchmarks.supervision.report import conditions, write_between_markers

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
ADDED_GOAL = 0.4e-3
"""Seconds that the gateway may add to a first token."""
LISTS_GOAL = 0.1
"""Seconds for tags and one show for each agent, when warm."""
CHAT = b'{"model": "agent0", "messages": [{"role": "user", "content": "hi"}]}'


class Figures(NamedTuple):
    """Medians of each round, in seconds."""

    direct: list[float]
    gateway: list[float]
    lists: list[float]

    @property
    def added(self) -> float:
        """What the gateway adds to a first token, the median of the rounds."""
        pairs = zip(self.direct, self.gateway, strict=True)
        return statistics.median(after - before for before, after in pairs)


class Line:
    """A kept connection; blocking, so that the client costs next to nothing."""

    def __init__(self, port: int, media_type: str = "") -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority = f"127.0.0.1:{port}"
        self._type = f"Content-Type: {media_type}\r\n" if media_type else ""

    def ask(self, method: str, path: str, body: bytes = b"") -> float:
        """Seconds to the first byte of the body; the answer is read to its end."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._authority}\r\n"
        head += f"{self._type}Content-Length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        self._sock.sendall(head.encode() + body)
        data = b""
        while not (top := data.partition(b"\r\n\r\n"))[2]:
            data += self._some()
        first = time.perf_counter() - began
        self._to_the_end(top[0].lower(), top[2])
        return first

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def _to_the_end(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"http/1.1 200"):
            raise Wrong(head.decode())
        _, declared, length = head.partition(b"content-length: ")
        while not _is_whole(body, int(length.split(b"\r\n")[0]) if declared else None):
            body += self._some()

    def _some(self) -> bytes:
        if data := self._sock.recv(65536):
            return data
        raise ConnectionError("closed before the answer was complete")


def _is_whole(body: bytes, length: int | None) -> bool:
    return body.endswith(b"0\r\n\r\n") if length is None else len(body) >= length


def main() -> int:
    """Measure once; 0 when the goals are held."""
    options = arguments()
    figures = measured("atg-", partial(in_a_fleet, options))
    text = table(figures, options)
    print(text)
    if options.write:
        write_between_markers(PAGE, text, "<!-- gateway -->", "<!-- /gateway -->")
    return int(figures.added > ADDED_GOAL or statistics.median(figures.lists) > LISTS_GOAL)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="The gateway beside the agent's own port.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=50, help="first tokens of each round")
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    return parser.parse_args()


async def in_a_fleet(options: argparse.Namespace, folder: Path) -> Figures:
    """Start the fleet, measure, end it."""
    async with started(folder, options.agents) as ports:
        return await asyncio.to_thread(figures_of, options, ports.agent, ports.api)


def figures_of(options: argparse.Namespace, agent: int, gateway: int) -> Figures:
    """Every round, the two ways by turns and each way first as often."""
    figures = Figures([], [], [])
    names = [f"agent{n}" for n in range(options.agents)]
    for port in (agent, gateway):
        _first_tokens(port, 5)
    _lists(gateway, names)
    for number in range(options.rounds):
        ways = [(agent, figures.direct), (gateway, figures.gateway)]
        for port, kept in ways if number % 2 else reversed(ways):
            kept.append(_first_tokens(port, options.requests))
        figures.lists.append(_lists(gateway, names))
    return figures


def _first_tokens(port: int, count: int) -> float:
    line = Line(port)
    try:
        return statistics.median(line.ask("POST", "/api/chat", CHAT) for _ in range(count))
    finally:
        line.close()


def _lists(port: int, names: Sequence[str]) -> float:
    line, began = Line(port), time.perf_counter()
    try:
        line.ask("GET", "/api/tags")
        for name in names:
            line.ask("POST", "/api/show", b'{"model": "%b"}' % name.encode())
        return time.perf_counter() - began
    finally:
        line.close()


def table(figures: Figures, options: argparse.Namespace) -> str:
    """What was measured, as Markdown."""
    lists = statistics.median(figures.lists)
    rows = (
        ("first token at the agent's port", statistics.median(figures.direct), None),
        ("first token through the gateway", statistics.median(figures.gateway), None),
        ("what the gateway adds", figures.added, ADDED_GOAL),
        (f"`/api/tags` and {options.agents} x `/api/show`, warm", lists, LISTS_GOAL),
    )
    lines = ["| what | median | goal | held |", "| --- | --- | --- | --- |"]
    for what, value, goal in rows:
        said = ("-", "-") if goal is None else (_ms(goal), "yes" if value <= goal else "**no**")
        lines.append(f"| {what} | {_ms(value)} | {' | '.join(said)} |")
    told = f"{options.requests} first tokens a round, {options.agents} agents running."
    return f"{conditions(ours(), options.rounds)} {told}\n\n" + "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"


if __name__ == "__main__":
    sys.exit(main())
