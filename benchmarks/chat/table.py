"""The table of what was measured, and whether the goals are held."""

import statistics
from collections.abc import Mapping, Sequence

BEGIN, END = "<!-- chat -->", "<!-- /chat -->"
FLOOR, RAW, FASTAPI, AGENT = COLUMNS = ("no HTTP at all", "raw ASGI", "FastAPI", "an agent")
OF_RAW, TIMES_FASTAPI = 0.6, 3.0
"""The least of chats a second, measured by the two applications."""
SHOW = 0.005
"""Seconds; the most of the 95th percentile."""


def table(rates: Mapping[str, Sequence[float]], shows: Sequence[float]) -> tuple[str, bool]:
    """The Markdown table, and whether every goal was held whose peer was there.

    `rates` are chats a second of each round by contender, `shows` seconds of each round.
    """
    medians = {name: statistics.median(each) for name, each in rates.items()}
    agent, show = medians[AGENT], statistics.median(shows)
    of_raw = OF_RAW * medians[RAW]
    is_held = [agent >= of_raw, show <= SHOW]
    cells = [f"{medians[name]:,.0f}" if name in medians else "-" for name in COLUMNS]
    nobody = ["-"] * (len(COLUMNS) - 1)
    lines = [
        _row("what", *COLUMNS, "goal", "held"),
        _row(*["---"] * (len(COLUMNS) + 3)),
        _row("chats a second", *cells, f"≥ {OF_RAW:.0%} of raw = {of_raw:,.0f}", _held(is_held[0])),
        _row("`/api/show`, p95", *nobody, _ms(show), f"≤ {_ms(SHOW)}", _held(is_held[1])),
    ]
    if FASTAPI in medians:
        least = TIMES_FASTAPI * medians[FASTAPI]
        is_held.append(agent >= least)
        goal = f"≥ {TIMES_FASTAPI:g} x FastAPI = {least:,.0f}"
        lines.insert(3, _row("the same", *cells, goal, _held(is_held[-1])))
    return "\n".join(lines), all(is_held)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"


def _held(held: bool) -> str:
    return "yes" if held else "**no**"
