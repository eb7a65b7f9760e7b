"""What the agent's server costs by itself, beside a bare application and FastAPI.

    python -m benchmarks.chat                 five interleaved rounds, about half a minute
    python -m benchmarks.chat --rounds 1      a look
    python -m benchmarks.chat --no-peer       without FastAPI, which PyPI is asked for once
    python -m benchmarks.chat --write         the table into docs/benchmarks.md

Chats in one piece over 16 kept connections; the servers share one core, the
client has the other. The agent's model is a script with one answer, which
takes no time. A goal that is not held ends in exit 1.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.chat.client import Wrong, p95, rate
from benchmarks.chat.question import REQUEST, SHOW
from benchmarks.chat.raw import SAID
from benchmarks.chat.table import AGENT, BEGIN, END, FASTAPI, FLOOR, RAW, table
from benchmarks.servers import ROOT, DidNotStart, cores, free_ports, running
from benchmarks.supervision.install import NotInstalled, default_scratch, from_pypi, ours
from benchmarks.supervision.report import conditions, write_between_markers

DOCS = ROOT / "docs" / "benchmarks.md"
MANIFEST = """
[agent]
name = "Agent"

[llm]
provider = "scripted"
script = "script.toml"
"""
SCRIPT = f'[[turn]]\nchunks = ["{SAID}"]\n'
PEER = {"fastapi": "0.165.0", "pydantic": "2.14.3"}
UNDER_ALL = ("uvicorn", "uvloop", "httptools")


class Server(NamedTuple):
    """A contender that accepts connections."""

    name: str
    port: int


class Figures(NamedTuple):
    """Of each round: chats a second by contender, and the p95 of the agent's show in seconds."""

    rates: dict[str, list[float]]
    shows: list[float]


def main() -> int:
    """Measure, print and judge."""
    options = arguments()
    try:
        with TemporaryDirectory(prefix="atoll-chat-") as folder, ExitStack() as stack:
            figures = measured(options, list(servers(options, Path(folder), stack)))
    except (DidNotStart, Wrong, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except NotInstalled as error:
        print(f"{error}\n--no-peer leaves FastAPI out", file=sys.stderr)
        return 1
    rows, held = table(figures.rates, figures.shows)
    versions = ours() | (PEER if FASTAPI in figures.rates else {})
    text = f"{conditions(versions, options.rounds)}\n\n{rows}"
    print(text)
    if options.write:
        write_between_markers(DOCS, text, BEGIN, END)
    return 0 if held else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The agent's server beside other ones.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of chats, a round and server")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=500, help="for the show, a round")
    parser.add_argument("--no-peer", action="store_true", help="without FastAPI")
    parser.add_argument("--scratch", type=Path, default=default_scratch(), help="for FastAPI")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    return parser.parse_args()


def servers(options: argparse.Namespace, folder: Path, stack: ExitStack) -> Iterator[Server]:
    """Everybody who is asked, each once it accepts connections."""
    (folder / "agent.toml").write_text(MANIFEST)
    (folder / "script.toml").write_text(SCRIPT)
    manifest = str(folder / "agent.toml")
    python = sys.executable
    commands = {
        FLOOR: [python, "-m", "benchmarks.chat.floor"],
        RAW: [python, "-m", "benchmarks.chat.raw"],
        AGENT: [python, "-m", "atoll", "--server", "--agent", manifest, "--port"],
    }
    if not options.no_peer:
        peer = from_pypi(options.scratch / "fastapi", peer_packages())
        commands[FASTAPI] = [str(peer), str(ROOT / "benchmarks/chat/with_fastapi.py")]
    ports = free_ports(len(commands))
    for (name, command), port in zip(commands.items(), ports, strict=True):
        stack.enter_context(running([*command, str(port)], port, cores()[0]))
        yield Server(name, port)


def peer_packages() -> list[str]:
    """FastAPI, and below it the same server as everybody has."""
    versions = PEER | {name: ours()[name] for name in UNDER_ALL}
    return [f"{name}=={version}" for name, version in versions.items()]


def measured(options: argparse.Namespace, found: list[Server]) -> Figures:
    """Every round, all servers one after the other."""
    os.sched_setaffinity(0, {cores()[-1]})
    figures = Figures({server.name: [] for server in found}, [])
    for number in range(options.rounds):
        for name, port in found:
            answered = rate(port, REQUEST, options.connections, options.seconds)
            figures.rates[name].append(answered)
            if name == AGENT:
                figures.shows.append(p95(port, SHOW, options.requests))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return figures


if __name__ == "__main__":
    sys.exit(main())
