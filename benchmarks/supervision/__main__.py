"""ATOLL beside supervisord, circus and pm2 on this machine, in one run.

    python -m benchmarks.supervision                     everything, some 50 minutes
    python -m benchmarks.supervision --quick             a smoke run of a few minutes
    python -m benchmarks.supervision --quick --only atoll,floor    without any peer
    python -m benchmarks.supervision --rows recovery,fleet --json figures.json

The peers are installed from PyPI and npm into --scratch, once. Every supervisor
runs the same program, an ATOLL agent; peers and floors also run a bare uvicorn
child, "(bare)", which starts faster and weighs less: goals are held against the
better of the two. Exit 1 when a goal is not held.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from benchmarks.supervision import report
from benchmarks.supervision.bench import (
    ATOLL,
    FLOORS,
    PEERS,
    QUICK,
    Bench,
    Entry,
    Options,
)
from benchmarks.supervision.contenders.base import Unhealthy
from benchmarks.supervision.goals import verdicts
from benchmarks.supervision.install import NotInstalled, Tools, default_scratch, install, ours
from benchmarks.supervision.processes import become_subreaper, end_below
from benchmarks.supervision.rows import adoption, crasher, fleet, live, recovery, trees
from benchmarks.supervision.signals import cancelled_by_signals

ROOT = Path(__file__).resolve().parents[2]
ROWS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "recovery": recovery.recovery,
    "restarts": recovery.restarts,
    "fleet": fleet.fleet,
    "idle": fleet.idle,
    "adoption": adoption.adoption,
    "trees": trees.trees,
    "crasher": crasher.crasher,
    "edits": live.edits,
    "sleep": live.sleep,
    "lists": live.lists,
    "big": live.big,
    "sleepers": live.sleepers,
}


def main() -> int:
    """Run what was asked for and print the table."""
    options = arguments()
    become_subreaper()
    try:
        with TemporaryDirectory(prefix="atb-", ignore_cleanup_errors=True) as folder:
            return whole(options, Path(folder))
    except NotInstalled as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    finally:
        if left := end_below(os.getpid()):
            print(f"ended {left} processes that were left over", file=sys.stderr)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="ATOLL beside other supervisors.")
    parser.add_argument("--quick", action="store_true", help="one round, small fleets")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of what is timed")
    parser.add_argument("--only", default="", help="who: any of supervisord,circus,pm2,floor,atoll")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"what: any of {','.join(ROWS)}")
    parser.add_argument("--children", default="agent,bare", help="of the peers: agent, bare, both")
    parser.add_argument("--scratch", type=Path, default=default_scratch(), help="for the peers")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument(
        "--keep", type=Path, help="show what was not measured now as an earlier --json tells it"
    )
    parser.add_argument("--write", action="store_true", help="the tables into README and docs")
    options = parser.parse_args()
    if unknown := set(options.rows.split(",")) - set(ROWS):
        parser.error(f"--rows: {', '.join(sorted(unknown))}: no such row")
    return options


def whole(options: argparse.Namespace, folder: Path) -> int:
    """Install, measure, report; 1 when a goal is not held."""
    entries = chosen(options.only, options.children)
    needs_tools = any(entry.name in PEERS or entry.child == "bare" for entry in entries)
    tools = install(options.scratch) if needs_tools else None
    bench = Bench(folder, how_much(options), without_missing(entries, tools), tools)
    words = report.conditions(tools.versions if tools else ours(), bench.options.rounds)
    print(words, flush=True)
    try:
        uvloop.run(cancelled_by_signals(measure(bench, options.rows.split(","))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        bench.note("interrupted: what follows is what had been measured until then")
        told(bench, words, options)
        raise
    return told(bench, words, options)


def chosen(only: str, children: str) -> list[Entry]:
    """Who takes part; without peers the floors run the agent too, so that nothing is installed."""
    wanted = tuple(only.split(",")) if only else ("",)
    names = [name for name in (*PEERS, *FLOORS, *ATOLL) if name.startswith(wanted)]
    alone = not set(names) & set(PEERS)
    entries = [Entry(name, "agent") for name in names if name not in FLOORS or alone]
    if "agent" not in children.split(","):
        entries = [entry for entry in entries if entry.name in ATOLL]
    if "bare" in children.split(",") and not alone:
        entries += [Entry(name, "bare") for name in names if name not in ATOLL]
    return entries


def without_missing(entries: list[Entry], tools: Tools | None) -> list[Entry]:
    """Leave pm2 out where there is no Node."""
    if tools is None or tools.pm2 is not None:
        return entries
    print("npm is not installed: pm2 is left out", file=sys.stderr)
    return [entry for entry in entries if entry.name != "pm2"]


def how_much(options: argparse.Namespace) -> Options:
    """The sizes of the run."""
    sizes = QUICK if options.quick else Options()
    return sizes._replace(rounds=options.rounds) if options.rounds else sizes


async def measure(bench: Bench, rows: list[str]) -> None:
    """One row after the other; one that goes wrong is told and leaves the others alone."""
    for name in rows:
        print(f"== {name}", flush=True)
        begin = time.monotonic()
        try:
            await ROWS[name](bench)
        except (Unhealthy, OSError, TimeoutError) as error:
            bench.note(f"{name}: {type(error).__name__}: {error}")
        print(f"   {name}: {time.monotonic() - begin:.0f} s", flush=True)


def told(bench: Bench, words: str, options: argparse.Namespace) -> int:
    """Print and write the tables; 1 when a goal is not held."""
    if options.json:
        report.write_json(options.json, bench.results, words, bench.notes)
    if options.keep:
        words = report.keep(bench.results, options.keep, options.rows)
    found = verdicts(bench.results)
    print(f"\n{report.plain(found)}\n\n{words}")
    for note in bench.notes:
        print(f"note: {note}")
    if options.write:
        full = f"{words}\n\n{report.markdown(found)}"
        report.write_between_markers(ROOT / "docs/benchmarks.md", full)
        report.write_between_markers(ROOT / "README.md", report.short(found))
    return int(any(verdict.held is False for verdict in found))


if __name__ == "__main__":
    sys.exit(main())
