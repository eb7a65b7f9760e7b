"""What a recorded run costs over asking its agent directly, and how runs are listed and kept.

    python -m benchmarks.runs [--rounds 10] [--requests 50] [--runs 10000] [--parallel 200]
                              [--fuzzed 100000] [--write]

Fleets of its own, with the rule-based back end. Each round asks the same agent by
turns at its own port and as a run, in one piece. Then `--runs` runs are made as one
batch and listed in one answer. `--parallel` background runs are begun at once over
the example fleet, whose agents use their tools and each other for them, and looked
for until all have ended. Signatures are parsed in this process. `--write` puts the table into
docs/benchmarks.md. Exit 1 when a goal is missed.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
from benchmarks.fleet import Wrong, examples, measured, started
from benchmarks.gateway import CHAT, Line
from benchmarks.supervision.install import ours
from benchmarks.supervision.report import conditions, write_between_markers

from atoll.config.signature import SignatureError, parse_signature, split_signature

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
ADDED_GOAL = 3e-3
"""Seconds that recording may add to an answer of an agent."""
LISTED_GOAL = 50e-3
"""Seconds for the list of all runs that have ended."""
PARSED_GOAL = 50e-3
"""Seconds for a thousand signatures."""
SIGNATURES = 1000
AGENTS = 3
LIMIT = 300.0
"""Seconds that background runs get to end."""

RUN = b'{"agent_name": "agent0", "inputs": {"query": "hi"}}'
CHAT_WHOLE = CHAT[:-1] + b', "stream": false}'
WORK = {
    "assistant": "Hello",
    "coder": 'execute_code "print(sum(range(100)))"',
    "coordinator": "Ask machine: how much memory is there?",
    "librarian": "Search: what happens when an agent crashes?",
    "machine": "How much memory is there?",
}
"""What each agent of the example fleet is asked: the rule-based back end takes the tool named."""
TYPES = ("str", "int", "list", "dict", "Literal", "Optional")
PIECES = (*TYPES, "a", "b1", "None", "-1", "->", "é", "\0")
MARKS = tuple("[](){},:|?'\" \n")


class _Row(msgspec.Struct):
    run_id: str
    status: str


class _List(msgspec.Struct):
    runs: list[_Row]


class _Batch(msgspec.Struct):
    batch_id: str
    status: str


class Figures(NamedTuple):
    """Medians of each round in seconds; `lost` counts runs, `crashes` signatures."""

    direct: list[float]
    recorded: list[float]
    listed: list[float]
    lost: int
    parallel: float
    parsed: float
    crashes: int

    @property
    def added(self) -> float:
        """What a run costs over asking directly, the median of the rounds."""
        pairs = zip(self.direct, self.recorded, strict=True)
        return statistics.median(after - before for before, after in pairs)


def main() -> int:
    """Measure once; 0 when the goals are held."""
    options = arguments()
    figures = measured("atr-", partial(in_a_fleet, options), httpx.HTTPError)
    rows = judged(figures, options)
    text = table(rows, options)
    print(text)
    if options.write:
        write_between_markers(PAGE, text, "<!-- runs -->", "<!-- /runs -->")
    return int(not all(held for *_, held in rows))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Recorded runs beside the agent's own port.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=50, help="answers of each round")
    parser.add_argument("--runs", type=int, default=10_000, help="runs in the list")
    parser.add_argument("--parallel", type=int, default=200, help="background runs at once")
    parser.add_argument("--fuzzed", type=int, default=100_000, help="signatures of strangers")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    return parser.parse_args()


async def in_a_fleet(options: argparse.Namespace, folder: Path) -> Figures:
    """Every round, the two ways by turns and each way first as often; then the rest, once."""
    async with started(folder, AGENTS) as ports:
        direct, recorded = await asyncio.to_thread(_answers, options, ports.agent, ports.api)
        await _fill(ports.api, options.runs)
        listed = await asyncio.to_thread(_listed, ports.api, options)
    async with examples(folder) as api:
        lost, took = await _parallel(api, options.parallel)
    parsed, crashes = _parsed(), _crashes(options.fuzzed)
    return Figures(direct, recorded, listed, lost, took, parsed, crashes)


def _answers(options: argparse.Namespace, agent: int, api: int) -> tuple[list[float], list[float]]:
    direct: list[float] = []
    recorded: list[float] = []
    ways: list[tuple[Callable[[int], float], list[float]]] = [
        (lambda count: _median(agent, "/api/chat", CHAT_WHOLE, count), direct),
        (lambda count: _median(api, "/run/agent", RUN, count), recorded),
    ]
    for way, _ in ways:
        way(5)
    for number in range(options.rounds):
        for way, kept in ways if number % 2 else reversed(ways):
            kept.append(way(options.requests))
    return direct, recorded


def _median(port: int, path: str, body: bytes, count: int) -> float:
    line = Line(port, "application/json")
    try:
        return statistics.median(line.ask("POST", path, body) for _ in range(count))
    finally:
        line.close()


async def _fill(api: int, runs: int) -> None:
    """So many runs that have ended."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api}", timeout=LIMIT) as http:
        rows = [{"query": "hi"} for _ in range(runs)]
        body = {"agent_name": "agent0", "batch_inputs": rows, "max_workers": 16}
        begun = await http.post("/run/batch", json=body)
        batch = msgspec.json.decode(begun.raise_for_status().content, type=_Batch)
        until = time.monotonic() + LIMIT
        while batch.status in ("starting", "running"):
            if time.monotonic() > until:
                raise Wrong(f"the batch of {runs} runs did not end")
            await asyncio.sleep(1.0)
            answer = await http.get(f"/batch/{batch.batch_id}")
            batch = msgspec.json.decode(answer.content, type=_Batch)
        if batch.status != "completed":
            raise Wrong("a run of the batch failed")


def _listed(api: int, options: argparse.Namespace) -> list[float]:
    """From the request to the end of the list."""
    with httpx.Client(base_url=f"http://127.0.0.1:{api}", timeout=LIMIT) as http:
        taken: list[float] = []
        for _ in range(max(3, options.rounds)):
            began = time.perf_counter()
            body = http.get(f"/run?limit={options.runs}").raise_for_status().content
            taken.append(time.perf_counter() - began)
            found = len(msgspec.json.decode(body, type=_List).runs)
            if found != options.runs:
                raise Wrong(f"the list has {found} runs, not {options.runs}")
        return taken


async def _parallel(api: int, count: int) -> tuple[int, float]:
    """How many of the background runs did not complete, and seconds until all had ended."""
    began = time.perf_counter()
    asked = [
        {"agent_name": name, "inputs": {"query": query}, "async_run": True}
        for name, query in islice(cycle(WORK.items()), count)
    ]
    bodies = map(msgspec.json.encode, asked)
    begun = await asyncio.gather(*(_asked(api, "POST", "/run/agent", body) for body in bodies))
    ends = [await _end_of(api, row.run_id) for row in begun]
    return sum(end != "completed" for end in ends), time.perf_counter() - began


async def _end_of(api: int, run_id: str) -> str:
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        status = (await _asked(api, "GET", f"/run/{run_id}")).status
        if status not in ("starting", "running"):
            return status
        await asyncio.sleep(0.01)
    return "never"


async def _asked(api: int, method: str, path: str, body: bytes = b"") -> _Row:
    """On a connection of its own: httpx looks at every idle one before each request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer, _, told = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise Wrong(answer.decode())
    return msgspec.json.decode(told, type=_Row)


def _parsed() -> float:
    texts = [
        f"q{n}: str | What to look for (all), n{n}: int | How many, tags: list[dict[str, int?]]"
        for n in range(SIGNATURES)
    ]
    began = time.perf_counter()
    for text in texts:
        parse_signature(text)
    return time.perf_counter() - began


def _crashes(count: int) -> int:
    """Anything but a signature or a SignatureError is a crash."""
    chance, crashes = random.Random(1), 0
    for _ in range(count):
        pieces = chance.choices(PIECES + MARKS * 2, k=chance.randrange(40))
        parse = chance.choice((parse_signature, split_signature))
        try:
            parse("".join(pieces))
        except SignatureError:
            continue
        except Exception as error:  # noqa: BLE001  that is what is looked for
            print(f"{''.join(pieces)!r}: {error!r}", file=sys.stderr)
            crashes += 1
    return crashes


def judged(figures: Figures, options: argparse.Namespace) -> list[tuple[str, str, str, bool]]:
    """What, its value, its goal and whether that is held."""
    listed = statistics.median(figures.listed)
    return [
        (
            "what recording a run adds to an answer",
            _ms(figures.added),
            _ms(ADDED_GOAL),
            figures.added <= ADDED_GOAL,
        ),
        (f"{options.runs} runs listed", _ms(listed), _ms(LISTED_GOAL), listed <= LISTED_GOAL),
        (
            f"{options.parallel} background runs of the example fleet, in {figures.parallel:.2f} s",
            f"{figures.lost} lost",
            "0 lost",
            figures.lost == 0,
        ),
        (
            f"{SIGNATURES} signatures parsed",
            _ms(figures.parsed),
            _ms(PARSED_GOAL),
            figures.parsed <= PARSED_GOAL,
        ),
        (
            f"{options.fuzzed} signatures of strangers",
            f"{figures.crashes} crashes",
            "0 crashes",
            figures.crashes == 0,
        ),
    ]


def table(rows: list[tuple[str, str, str, bool]], options: argparse.Namespace) -> str:
    """What was measured, as Markdown."""
    lines = ["| what | median | goal | held |", "| --- | --- | --- | --- |"]
    for what, value, goal, held in rows:
        lines.append(f"| {what} | {value} | {goal} | {'yes' if held else '**no**'} |")
    told = f"{options.requests} answers a round, {AGENTS} agents running."
    return f"{conditions(ours(), options.rounds)} {told}\n\n" + "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"


if __name__ == "__main__":
    sys.exit(main())
