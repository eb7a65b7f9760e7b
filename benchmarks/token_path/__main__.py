"""What an agent adds between a client and its model, beside the model alone.

    python -m benchmarks.token_path                 five interleaved rounds, about two minutes
    python -m benchmarks.token_path --rounds 1      a look
    python -m benchmarks.token_path --write         the table into docs/benchmarks.md

The model is a server that answers in no time (`upstream.py`). It and the client
share a core, the agent has the other. Contenders: the model asked directly, an
agent with our own HTTP client, the same agent with httpx. A goal that is not
held ends in exit 1.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop
from benchmarks.token_path.measure import first_tokens, rate, serves
from benchmarks.token_path.table import BEGIN, END, Figures, table

from atoll.http.sockets import bind

ROOT = Path(__file__).resolve().parents[2]
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
PATIENCE = 30.0


class Contender(NamedTuple):
    """Who is asked, and on which port."""

    name: str
    port: int


def main() -> int:
    """Measure, print and judge."""
    options = arguments()
    with TemporaryDirectory(prefix="atoll-tokens-") as folder, ExitStack() as stack:
        contenders = started(Path(folder), stack)
        os.sched_setaffinity(0, {cores()[-1]})
        figures = {contender.name: Figures([], []) for contender in contenders}
        for number in range(options.rounds):
            for name, port in contenders:
                figures[name].first.append(uvloop.run(first_tokens(port, options.requests)))
                figures[name].rate.append(uvloop.run(rate(port, options.streams, options.tokens)))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    text, held = table(figures, options.rounds)
    print(text)
    if options.write:
        write(text)
    return 0 if held else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What an agent adds to its model.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300, help="for the first token, a round")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=20_000, help="of one stream")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    return parser.parse_args()


def started(folder: Path, stack: ExitStack) -> list[Contender]:
    """The model and the agents, each once it answers."""
    model, ours, httpx = free_ports(3)
    manifest = folder / "agent.toml"
    manifest.write_text(MANIFEST.format(port=model))
    agent = ["--server", "--agent", str(manifest), "--port"]
    client, server = cores()[-1], cores()[0]
    upstream = [sys.executable, "-m", "benchmarks.token_path.upstream", str(model)]
    stack.enter_context(running(upstream, client))
    stack.enter_context(running([sys.executable, "-m", "atoll", *agent, str(ours)], server))
    stack.enter_context(running([sys.executable, "-c", OVER_HTTPX, *agent, str(httpx)], server))
    found = [Contender("direct", model), Contender("agent", ours), Contender("httpx", httpx)]
    for contender in found:
        until = time.monotonic() + PATIENCE
        while not uvloop.run(serves(contender.port)):
            if time.monotonic() > until:
                raise SystemExit(f"{contender.name} did not answer within {PATIENCE:g} s")
            time.sleep(0.1)
    return found


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(os.getppid()))


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        socks = [stack.enter_context(bind("127.0.0.1", 0)) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


@contextmanager
def running(command: list[str], core: int) -> Generator[None]:
    """A server of ours on one core, ended afterwards."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    os.sched_setaffinity(process.pid, {core})
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def write(text: str) -> None:
    """The table between its markers."""
    before, _, rest = DOCS.read_text().partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())
