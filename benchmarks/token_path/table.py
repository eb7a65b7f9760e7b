"""The table of what was measured, and whether the goals are held."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

BEGIN, END = "<!-- tokens -->", "<!-- /tokens -->"
ADDED_MS, TOKENS = 0.15, 150_000
"""The goals of DESIGN section 13."""
MODEL, AGENT = "the model alone", "an agent"
COLUMNS = (MODEL, "a process that passes bytes", AGENT, "the same over httpx", "LiteLLM")
FLOOR, HTTPX, PEER = COLUMNS[1], COLUMNS[3], COLUMNS[4]


class Figures(NamedTuple):
    """Of each round: seconds to the first token, and tokens a second."""

    first: list[float]
    rate: list[float]


def table(figures: Mapping[str, Figures]) -> tuple[str, bool]:
    """The Markdown table, and whether our agent held both goals; who was not there has a dash."""
    first = {name: statistics.median(it.first) * 1000 for name, it in figures.items()}
    rate = {name: statistics.median(it.rate) for name, it in figures.items()}
    added = {name: it - first[MODEL] for name, it in first.items()}
    fast, many = added[AGENT] <= ADDED_MS, rate[AGENT] >= TOKENS
    firsts = {name: f"+{it:.3f} ms" for name, it in added.items()}
    firsts[MODEL] = f"{first[MODEL]:.3f} ms"
    rates = {name: f"{it:,.0f}" for name, it in rate.items()}
    lines = [
        _row("what", *COLUMNS, "goal", "held"),
        _row(*["---"] * (len(COLUMNS) + 3)),
        _row("first token, one client", *_cells(firsts), f"+{ADDED_MS} ms", _held(fast)),
        _row("tokens a second, 8 streams", *_cells(rates), f"{TOKENS:,}", _held(many)),
        "",
        "Medians; the model and the client share a core, who stands between has the other.",
    ]
    return "\n".join(lines), fast and many


def _cells(texts: Mapping[str, str]) -> list[str]:
    return [texts.get(name, "-") for name in COLUMNS]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _held(held: bool) -> str:
    return "yes" if held else "**no**"
