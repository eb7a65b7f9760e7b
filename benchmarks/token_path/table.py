"""The table of what was measured, and whether the goals are held."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

BEGIN, END = "<!-- tokens -->", "<!-- /tokens -->"
ADDED_MS, TOKENS = 0.15, 150_000
"""The goals of DESIGN section 13."""


class Figures(NamedTuple):
    """Of each round: seconds to the first token, and tokens a second."""

    first: list[float]
    rate: list[float]


def table(figures: Mapping[str, Figures], rounds: int) -> tuple[str, bool]:
    """The Markdown table, and whether our agent held both goals."""
    direct = statistics.median(figures["direct"].first) * 1000
    first = {name: statistics.median(it.first) * 1000 for name, it in figures.items()}
    rate = {name: statistics.median(it.rate) for name, it in figures.items()}
    added = first["agent"] - direct
    fast, many = added <= ADDED_MS, rate["agent"] >= TOKENS
    lines = [
        "| what | the model alone | an agent | the same over httpx | goal | held |",
        "|---|---|---|---|---|---|",
        f"| first token, one client | {direct:.3f} ms | +{added:.3f} ms "
        f"| +{first['httpx'] - direct:.3f} ms | +{ADDED_MS} ms | {_held(fast)} |",
        f"| tokens a second, 8 streams | {rate['direct']:,.0f} | {rate['agent']:,.0f} "
        f"| {rate['httpx']:,.0f} | {TOKENS:,} | {_held(many)} |",
        "",
        f"Medians of {rounds} interleaved rounds; the model and the client share a core.",
    ]
    return "\n".join(lines), fast and many


def _held(held: bool) -> str:  # noqa: FBT001  a word for a yes or no
    return "yes" if held else "**no**"
