"""What an agent adds between a client and its model, beside the model alone.

    python -m benchmarks.token_path                 five interleaved rounds, about two minutes
    python -m benchmarks.token_path --rounds 1      a look
    python -m benchmarks.token_path --no-peer       without LiteLLM, which PyPI is asked for once
    python -m benchmarks.token_path --write         the table into docs/benchmarks.md

The model is a server that answers in no time (`upstream.py`). It and the client
share a core, who stands between has the other. Contenders: the model asked
directly, a process that only passes bytes on (`floor.py`), an agent with our own
HTTP client, the same agent with httpx, and LiteLLM's proxy. A goal that is not
held ends in exit 1.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop
from benchmarks.servers import ROOT, DidNotStart, cores, free_ports, running
from benchmarks.supervision.install import NotInstalled, default_scratch, ours
from benchmarks.supervision.report import conditions, write_between_markers
from benchmarks.token_path.dialects import OLLAMA, Dialect, openai
from benchmarks.token_path.measure import first_tokens, rate
from benchmarks.token_path.peer import START, VERSION, litellm
from benchmarks.token_path.table import (
    AGENT,
    BEGIN,
    END,
    FLOOR,
    HTTPX,
    MODEL,
    PEER,
    Figures,
    table,
)

from atoll.adapters.http1 import Unreachable
from atoll.adapters.http1_connection import Broken, Silent

DOCS = ROOT / "docs" / "benchmarks.md"
MANIFEST = """
[agent]
name = "Fast"

[llm]
provider = "ollama"
base_url = "http://127.0.0.1:{port}"
model = "fast"
"""
OVER_HTTPX = (
    "import runpy, sys, atoll.adapters.upstream as u; u.goes_over_http1 = lambda peer: False; "
    "sys.argv = ['atoll', *sys.argv[1:]]; runpy.run_module('atoll', run_name='__main__')"
)


class Contender(NamedTuple):
    """Who is asked, on which port, how, and for how many tokens in a stream."""

    name: str
    port: int
    dialect: Dialect
    tokens: int


def main() -> int:
    """Measure, print and judge."""
    options = arguments()
    try:
        with TemporaryDirectory(prefix="atoll-tokens-") as folder, ExitStack() as stack:
            figures = measured(options, list(contenders(options, Path(folder), stack)))
    except (DidNotStart, Unreachable, Broken, Silent) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except NotInstalled as error:
        print(f"{error}\n--no-peer leaves LiteLLM out", file=sys.stderr)
        return 1
    rows, held = table(figures)
    versions = ours() | ({"litellm": VERSION} if PEER in figures else {})
    text = f"{conditions(versions, options.rounds)}\n\n{rows}"
    print(text)
    if options.write:
        write_between_markers(DOCS, text, BEGIN, END)
    return 0 if held else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What an agent adds to its model.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300, help="for the first token, a round")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=20_000, help="of one stream")
    parser.add_argument("--peer-tokens", type=int, default=500, help="the same, of LiteLLM")
    parser.add_argument("--no-peer", action="store_true", help="without LiteLLM")
    parser.add_argument("--scratch", type=Path, default=default_scratch(), help="for LiteLLM")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    return parser.parse_args()


def contenders(options: argparse.Namespace, folder: Path, stack: ExitStack) -> Iterator[Contender]:
    """The model and who stands before it, each once it accepts connections."""
    model, floor, agent, httpx, peer = free_ports(5)
    manifest = folder / "agent.toml"
    manifest.write_text(MANIFEST.format(port=model))
    served = ["--server", "--agent", str(manifest), "--port"]
    commands: list[tuple[str, int, list[str]]] = [
        (MODEL, model, ["-m", "benchmarks.token_path.upstream", str(model)]),
        (FLOOR, floor, ["-m", "benchmarks.token_path.floor", str(floor), str(model)]),
        (AGENT, agent, ["-m", "atoll", *served, str(agent)]),
        (HTTPX, httpx, ["-c", OVER_HTTPX, *served, str(httpx)]),
    ]
    for name, port, words in commands:
        core = cores()[-1 if name == MODEL else 0]
        stack.enter_context(running([sys.executable, *words], port, core))
        yield Contender(name, port, OLLAMA, options.tokens)
    if not options.no_peer:
        proxy = litellm(options.scratch, folder, model, peer)
        place = running(proxy.command, peer, cores()[0], START, environ=proxy.environ, cwd=folder)
        stack.enter_context(place)
        yield Contender(PEER, peer, openai(proxy.key), options.peer_tokens)


def measured(options: argparse.Namespace, found: list[Contender]) -> dict[str, Figures]:
    """Every round, all contenders one after the other."""
    os.sched_setaffinity(0, {cores()[-1]})
    figures = {contender.name: Figures([], []) for contender in found}
    for number in range(options.rounds):
        for name, port, dialect, tokens in found:
            first, many = figures[name]
            first.append(uvloop.run(first_tokens(port, dialect, options.requests)))
            many.append(uvloop.run(rate(port, dialect, options.streams, tokens)))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return figures


if __name__ == "__main__":
    sys.exit(main())
