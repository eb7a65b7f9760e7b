"""What sessions cost, and whether kill -9 loses anything of them.

    python -m benchmarks.sessions                   memory and steps, about a minute
    python -m benchmarks.sessions --write           the table into docs/benchmarks.md
    python -m benchmarks.sessions --kills 1000      kill -9 under load instead, some minutes
    python -m benchmarks.sessions --kills 20 --seed 7

An agent in a process of its own gets a thousand sessions, then a hundred turns at once, and
is weighed. Turns of one step and of ten are timed beside the model that they use. A goal
that is not held, or anything that a kill has lost or doubled, ends in exit 1.
"""

import argparse
import asyncio
import os
import secrets
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from benchmarks.servers import ROOT, DidNotStart
from benchmarks.sessions import memory, steps
from benchmarks.sessions.kills import SHOWN, survived
from benchmarks.sessions.table import BEGIN, END, table
from benchmarks.supervision.install import ours
from benchmarks.supervision.processes import become_subreaper, end_below
from benchmarks.supervision.report import conditions, write_between_markers
from benchmarks.supervision.signals import cancelled_by_signals

DOCS = ROOT / "docs" / "benchmarks.md"
STEPS = (1, 10)


def main() -> int:
    """Measure, print and judge."""
    options = arguments()
    with TemporaryDirectory(prefix="ats-", ignore_cleanup_errors=True) as folder:
        if options.kills:
            return killed(options, Path(folder))
        try:
            return measured(options, Path(folder))
        except (memory.Wrong, steps.Wrong, DidNotStart, OSError) as error:
            print(error, file=sys.stderr)
            return 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="What sessions cost and what they survive.")
    parser.add_argument("--rounds", type=int, default=200, help="turns of each kind that are timed")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=100, help="at once")
    parser.add_argument("--write", action="store_true", help="the table into docs/benchmarks.md")
    parser.add_argument("--kills", type=int, default=0, help="kill -9 so often instead")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="of the kills")
    return parser.parse_args()


def measured(options: argparse.Namespace, folder: Path) -> int:
    """The table; 0 when the goals are held."""
    weighed = memory.measured(folder, options.sessions, options.turns)
    timed: dict[int, steps.Steps] = {}
    for number in STEPS:
        place = folder / f"steps-{number}"
        place.mkdir()
        timed[number] = uvloop.run(steps.measured(place, number, options.rounds))
    rows, held = table(weighed, timed)
    text = f"{conditions(ours(), options.rounds)}\n\n{rows}"
    print(text)
    if options.write:
        write_between_markers(DOCS, text, BEGIN, END)
    return 0 if held else 1


def killed(options: argparse.Namespace, folder: Path) -> int:
    """The kills; 0 when nothing was lost and nothing was there twice."""
    print(f"seed {options.seed}: {options.kills} kills", flush=True)
    become_subreaper()
    try:
        wrong = uvloop.run(cancelled_by_signals(survived(folder, options.kills, options.seed)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    finally:
        end_below(os.getpid())
    for line in wrong[:SHOWN]:
        print(f"WRONG: {line}")
    print("everything held" if not wrong else f"{len(wrong)} things did not hold")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
