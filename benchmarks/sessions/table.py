"""The table of what was measured, and whether the goals are held."""

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.sessions.memory import Memory
from benchmarks.sessions.steps import LONG, Steps

BEGIN, END = "<!-- sessions -->", "<!-- /sessions -->"
MEMORY = 150.0
"""MiB."""
STEP = 0.001
"""Seconds of a turn's own, for each step."""


class Row(NamedTuple):
    """One line; `held` None is no goal."""

    what: str
    value: str
    goal: str = "-"
    held: bool | None = None


def table(memory: Memory, steps: Mapping[int, Steps]) -> tuple[str, bool]:
    """The Markdown table, and whether every goal was held; `steps` by their number in a turn."""
    rows = [*_memory(memory)]
    for number, each in steps.items():
        rows += _steps(number, each)
    lines = ["| what | measured | goal | held |", "| --- | --- | --- | --- |"]
    held = {None: "-", True: "yes", False: "**no**"}
    lines += [f"| {row.what} | {row.value} | {row.goal} | {held[row.held]} |" for row in rows]
    return "\n".join(lines), all(row.held is not False for row in rows)


def _memory(memory: Memory) -> tuple[Row, ...]:
    what = f"{memory.sessions:,} sessions and {memory.turns} turns at once"
    return (
        Row("an agent that nobody talks to, PSS", f"{memory.idle:.0f} MiB"),
        Row(f"{what}, most PSS", f"{memory.most_pss:.0f} MiB"),
        Row(
            f"{what}, most RSS",
            f"{memory.most_rss:.0f} MiB",
            f"≤ {MEMORY:.0f} MiB",
            memory.most_rss <= MEMORY,
        ),
    )


def _steps(number: int, steps: Steps) -> tuple[Row, ...]:
    turn = f"a turn of {number} step{'s' if number > 1 else ''}"
    own, long = steps.beside(steps.session), steps.beside(steps.long)
    return (
        Row(f"{turn}: a step without a session", _ms(steps.beside(steps.turn))),
        Row(f"{turn}: a step, first of its session", _ms(own), f"≤ {_ms(STEP)}", own <= STEP),
        Row(
            f"{turn}: a step, in a session of {LONG} messages",
            _ms(long),
            f"≤ {_ms(STEP)}",
            long <= STEP,
        ),
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"
