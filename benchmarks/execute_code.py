"""What execute_code costs: a namespace's first code, the next step, a sandbox from nothing.

    python benchmarks/execute_code.py            the table
    python benchmarks/execute_code.py --json     the figures

Medians and 99th percentiles in milliseconds, through the same port that the
agent uses, on uvloop as the agent is.

- cold: an empty namespace is opened and `print(sum(range(1000)))` run in it; a
  sandbox made beforehand is there (goal: at most 30 ms)
- made: the same when none was made beforehand, as in a burst of new sessions
- step: the same code in a namespace that is open (goal: at most 1 ms)
- ask: one llm_query whose answer is there at once
- interrupt: from the interrupt of a loop to its outcome
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from statistics import median, quantiles

import msgspec
import uvloop

from atoll.adapters.sandbox.bubblewrap import SPARE_AFTER, Bubblewrap, open_bubblewrap
from atoll.adapters.sandbox.choosing import limits_of
from atoll.adapters.sandbox.space import Space
from atoll.config.manifest import Sandbox

CODE = "print(sum(range(1000)))"
ROUNDS, STEPS = 30, 1000
GOALS = {"cold": 30.0, "step": 1.0}
_SETTLE = 0.3
"""Seconds in which a sandbox is made beforehand."""


class Instant:
    """A model that answers at once."""

    async def ask(self, prompts: Sequence[str]) -> Sequence[str]:
        """The prompts themselves."""
        return prompts


class Figure(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p99: float


async def measure() -> dict[str, Figure]:
    """All figures, one after the other."""
    engine = await open_bubblewrap(limits_of(Sandbox()))
    cold = [await _first(engine, SPARE_AFTER + _SETTLE) for _ in range(ROUNDS)]
    made = [await _first(engine, 0.0) for _ in range(ROUNDS)]
    space = await engine.open()
    figures = {
        "cold": cold,
        "made": made,
        "step": [await _timed(space, CODE) for _ in range(STEPS)],
        "ask": [await _timed(space, "llm_query('x')") for _ in range(STEPS)],
        "interrupt": [await _interrupted(space) for _ in range(ROUNDS)],
    }
    await space.close()
    await engine.close()
    return {name: _figure(times) for name, times in figures.items()}


async def _first(engine: Bubblewrap, wait: float) -> float:
    await asyncio.sleep(wait)
    began = time.perf_counter()
    space = await engine.open()
    await space.run(CODE, Instant())
    took = time.perf_counter() - began
    await space.close()
    return took


async def _timed(space: Space, code: str) -> float:
    began = time.perf_counter()
    await space.run(code, Instant())
    return time.perf_counter() - began


async def _interrupted(space: Space) -> float:
    running = asyncio.create_task(space.run("while True: pass", Instant()))
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    space.interrupt()
    await running
    return time.perf_counter() - began


def _figure(seconds: Sequence[float]) -> Figure:
    return Figure(median(seconds) * 1e3, quantiles(seconds, n=100)[98] * 1e3)


def table(figures: dict[str, Figure]) -> str:
    """The figures as Markdown."""
    lines = ["| what | p50 ms | p99 ms | goal p50 | held |", "|---|---|---|---|---|"]
    for name, figure in figures.items():
        goal = GOALS.get(name)
        held = "" if goal is None else "yes" if figure.p50 <= goal else "no"
        lines.append(f"| {name} | {figure.p50:.2f} | {figure.p99:.2f} | {goal or ''} | {held} |")
    return "\n".join(lines)


if __name__ == "__main__":
    measured = uvloop.run(measure())
    if "--json" in sys.argv:
        print(json.dumps(msgspec.to_builtins(measured)))
    else:
        print(table(measured))
