"""How soon a service is `running` once SLURM has started its job, beside sbatch and squeue by hand.

    python -m benchmarks.slurm [--services 20] [--model FILE] [--write]

A cluster of two nodes and two daemons of its own, one that uses SLURM's
commands and one that uses slurmrestd. Services are begun one after another, in
turns with the same job script given to sbatch by hand, whose job is watched
with squeue and then asked itself. From the request to the moment when squeue
says RUNNING it is SLURM's time, from there to `running` it is ours and the
server's. That is Python's own `http.server`, with `--model` llama.cpp and a
GGUF. `--write` puts the table into docs/benchmarks.md. Exit 1 when a goal is
missed. As root; wants the Debian packages slurm-wlm and slurmrestd.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
from benchmarks.fleet import Wrong, measured
from benchmarks.supervision import units
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.install import ours
from benchmarks.supervision.report import conditions, write_between_markers

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPT = ROOT / "scripts" / "slurm-test-cluster"
GOAL = 2.0
"""Seconds from SLURM's start of a job to `running`, the slowest of all."""
LIMIT, PAUSE = 60.0, 0.02
"""Seconds that anything may take, and between two looks."""
HAND, COMMANDS, REST = "by hand", "by the commands", "by slurmrestd"
RESOURCES = {"cpu": 1, "memory": "500M", "time_limit": 10}
RECIPE = """\
name = "plain"
category = "inference"
command = [
    "{python}", "-I", "-m", "http.server", "{port}", "--bind", "{host}", "--directory", "{data}",
]

[health]
path = "/"
"""


class _Row(msgspec.Struct):
    id: str
    name: str
    status: str = ""


class Took(NamedTuple):
    """Seconds from the request to RUNNING, and from there to a server that answers."""

    queued: float
    up: float


Figures = dict[str, list[Took]]


class Cluster:
    """The trial cluster, and what is asked of it by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "run/rest.sock"
        conf = str(folder / "slurm.conf")
        self.environ = {**os.environ, "SLURM_CONF": conf, "LLAMA_API_KEY": "by hand"}
        self._port = units.block(100)

    def script(self, what: str) -> None:
        """Bring it up or down."""
        self.run(str(SCRIPT), what, str(self.folder), "2", str(self._port))

    def run(self, *words: str) -> str:
        """What a command prints; raises Wrong when it fails."""
        done = subprocess.run(
            words, env=self.environ, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise Wrong(f"{words[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def until_started(self, name: str) -> float:
        """The moment when squeue says that the job of this name runs."""
        until(lambda: self.run("squeue", "-h", "-o", "%T", "-n", name) == "RUNNING", name)
        return time.perf_counter()

    def until_empty(self) -> None:
        """Every turn begins with idle nodes."""
        until(lambda: not self.run("squeue", "-h"), "the end of every job")


class ByHand:
    """A service's own job script, given to sbatch once more."""

    def __init__(self, cluster: Cluster, folder: Path, health: str) -> None:
        self._cluster = cluster
        self._folder = folder
        self._health = health

    def time(self) -> Took:
        """Submit it, watch it, ask it, end it."""
        options = ("--job-name=by-hand", "--mem=500M", "--cpus-per-task=1", "--time=10")
        places = (f"--chdir={self._folder}", "--output=/dev/null")
        began = time.perf_counter()
        script = str(self._folder / "job.sh")
        job = self._cluster.run("sbatch", "--parsable", *options, *places, script)
        started = self._cluster.until_started("by-hand")
        until(lambda: self._answers(job), "the server")
        up = time.perf_counter()
        self._cluster.run("scancel", job)
        return Took(started - began, up - started)

    def _answers(self, job: str) -> bool:
        words = (self._folder / "endpoint").read_text().split()
        if words[:1] != [job]:
            return False
        try:
            return httpx.get(f"http://{words[2]}:{words[3]}{self._health}", timeout=5).is_success
        except httpx.TransportError:
            return False


class ByAtoll:
    """One daemon over HTTP."""

    def __init__(self, cluster: Cluster, port: int, body: dict[str, object]) -> None:
        self._cluster = cluster
        self._body = body
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=LIMIT)

    def begin(self) -> _Row:
        """Ask for a service."""
        answer = self._http.post("/services", json=self._body)
        if answer.status_code != 201:
            raise Wrong(answer.text)
        return msgspec.json.decode(answer.content, type=_Row)

    def until_running(self, row: _Row) -> None:
        """As a client polls it."""
        path = f"/services/{row.id}"
        until(lambda: self._row(path).status == "running", row.name)

    def end(self, row: _Row, *, purge: bool) -> None:
        """End it, and forget it unless its folder is wanted."""
        self._http.delete(f"/services/{row.id}", params={"purge": purge}).raise_for_status()

    def time(self) -> Took:
        """One service from the request to its end."""
        began = time.perf_counter()
        row = self.begin()
        started = self._cluster.until_started(row.name)
        self.until_running(row)
        up = time.perf_counter()
        self.end(row, purge=True)
        return Took(started - began, up - started)

    def _row(self, path: str) -> _Row:
        return msgspec.json.decode(self._http.get(path).content, type=_Row)


class SlurmAtoll(Atoll):
    """A daemon without agents, beside a cluster."""

    more: dict[str, str]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.more}


def main() -> int:
    """Measure once; 0 when the goals are held."""
    options = arguments()
    needed = ("slurmctld", "slurmrestd")
    if os.geteuid() != 0 or not all(map(shutil.which, needed)):
        print("wants root and the Debian packages slurm-wlm and slurmrestd", file=sys.stderr)
        return 1
    figures = measured("ats-", partial(in_a_cluster, options), httpx.HTTPError)
    text = table(figures, options)
    print(text)
    if options.write:
        write_between_markers(PAGE, text, "<!-- slurm -->", "<!-- /slurm -->")
    return int(not all(is_held(figures[way]) for way in (COMMANDS, REST)))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Services on SLURM beside sbatch by hand.")
    parser.add_argument("--services", type=int, default=20, help="of each kind")
    parser.add_argument("--model", type=Path, help="a GGUF for llama.cpp to serve")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    return parser.parse_args()


async def in_a_cluster(options: argparse.Namespace, folder: Path) -> Figures:
    """Start cluster and daemons, measure, end them."""
    cluster = Cluster(folder / "c")
    recipe = folder / "recipes/inference/plain.toml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(RECIPE)
    try:
        await asyncio.to_thread(cluster.script, "up")
        rest = {"ATOLL_SLURM_REST": str(cluster.socket)}
        async with (
            daemon(folder, cluster, "a", {}) as one,
            daemon(folder, cluster, "b", rest) as two,
        ):
            return await asyncio.to_thread(turns, options, folder, cluster, one, two)
    finally:
        await asyncio.to_thread(cluster.script, "down")


@asynccontextmanager
async def daemon(
    folder: Path, cluster: Cluster, name: str, more: dict[str, str]
) -> AsyncGenerator[int]:
    """The port of a daemon that is up; raises Wrong when it does not come."""
    free = units.ports()
    made = SlurmAtoll(folder / name, [], next(free), next(free))
    (made.place / "agents").mkdir()
    made.more = {
        "SLURM_CONF": cluster.environ["SLURM_CONF"],
        "ATOLL_AUTH": "none",
        "ATOLL_RECIPES_DIR": str(folder / "recipes"),
        **more,
    }
    try:
        await made.start()
        if not await made.until_answering():
            raise Wrong("the daemon did not come up")
        yield made.api_port
    finally:
        await asyncio.shield(made.shut_down())


def turns(
    options: argparse.Namespace, folder: Path, cluster: Cluster, one: int, two: int
) -> Figures:
    """Every way once a round, each of them first as often."""
    body: dict[str, object] = {"recipe_name": "inference/plain", "engine": "slurm"}
    config: dict[str, object] = {"resources": RESOURCES}
    if options.model:
        body["recipe_name"] = "inference/llama-cpp"
        config["model"] = str(options.model.resolve())
    body["config"] = config
    commands, rest = ByAtoll(cluster, one, body), ByAtoll(cluster, two, body)
    first = commands.begin()
    commands.until_running(first)
    commands.end(first, purge=False)
    script = folder / "a/state/services" / first.id
    hand = ByHand(cluster, script, "/health" if options.model else "/")
    ways: list[tuple[str, Callable[[], Took]]] = [
        (HAND, hand.time),
        (COMMANDS, commands.time),
        (REST, rest.time),
    ]
    figures: Figures = {way: [] for way, _ in ways}
    for number in range(options.services):
        for way, timed in ways[number % 3 :] + ways[: number % 3]:
            cluster.until_empty()
            figures[way].append(timed())
    return figures


def until(true: Callable[[], bool], what: str) -> None:
    """Look again and again; raises Wrong after `LIMIT`."""
    end = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > end:
            raise Wrong(f"{what}: not within {LIMIT:g} s")
        time.sleep(PAUSE)


def is_held(took: list[Took]) -> bool:
    """Whether the slowest of them was soon enough."""
    return max(one.up for one in took) <= GOAL


def table(figures: Figures, options: argparse.Namespace) -> str:
    """What was measured, as Markdown."""
    lines = ["| what | median | slowest | goal | held |", "| --- | --- | --- | --- | --- |"]
    for way, took in figures.items():
        cells = _cells([one.queued for one in took])
        lines.append(f"| asked for {way} → RUNNING | {cells} | - | - |")
    for way, took in figures.items():
        what = "answers" if way == HAND else "`running`"
        goal = "- | -" if way == HAND else f"≤ {_ms(GOAL)} | {'yes' if is_held(took) else '**no**'}"
        lines.append(f"| RUNNING → {what}, {way} | {_cells([one.up for one in took])} | {goal} |")
    server = f"llama.cpp with {options.model.name}" if options.model else "Python's `http.server`"
    slurm = subprocess.run(("slurmctld", "-V"), capture_output=True, text=True, check=True)
    told = f"SLURM {slurm.stdout.split()[-1]}; the server is {server}."
    return f"{conditions(ours(), options.services)} {told}\n\n" + "\n".join(lines)


def _cells(seconds: list[float]) -> str:
    return f"{_ms(statistics.median(seconds))} | {_ms(max(seconds))}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
