"""The tables: on the terminal, as Markdown between markers, and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import inf, isinf
from pathlib import Path

from benchmarks.supervision.bench import Results
from benchmarks.supervision.goals import Verdict

BEGIN, END = "<!-- supervision -->", "<!-- /supervision -->"
HEAD = ("what", "best peer", "floor", "ATOLL", "goal", "held")


class NoMarkers(Exception):
    """A file has no place for the table."""


def conditions(versions: dict[str, str], rounds: int) -> str:
    """Machine, versions and date, in one paragraph."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    date = datetime.now(UTC).date().isoformat()
    return f"Measured on {date}: {machine}; {rounds} interleaved rounds; {listed}."


def short(verdicts: Iterable[Verdict]) -> str:
    """The lines of DESIGN section 13."""
    return markdown([verdict for verdict in verdicts if verdict.line.headline])


def markdown(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table with a line for each verdict."""
    rows = [cells(verdict) for verdict in verdicts]
    rule = tuple("---" for _ in HEAD)
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEAD, rule, *rows))


def plain(verdicts: Sequence[Verdict]) -> str:
    """The same for a terminal."""
    rows = [HEAD, *map(cells, verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def cells(verdict: Verdict) -> tuple[str, ...]:
    """The texts of one line."""
    line = verdict.line
    best = _labelled(verdict.best, line.unit) if verdict.best else line.peers
    floor = _labelled(verdict.floor, line.unit) if verdict.floor else "-"
    ours = "not measured" if verdict.ours is None else figure(verdict.ours, line.unit)
    held = {None: "-", True: "yes", False: "**no**"}[verdict.held]
    return (line.title, best, floor, ours, _goal(verdict), held)


def figure(value: float, unit: str) -> str:
    """A value as a person reads it."""
    if isinf(value):
        return "never"
    if unit == "s":
        return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"
    if unit == "":
        return f"{value:g}"
    digits = 2 if value < 10 else 0
    return f"{value:.{digits}f} {unit}"


def every_figure(results: Results) -> str:
    """Median, least and most of everything that was measured, as a Markdown table."""
    lines = ["| metric | who | median | min | max | n |", "| --- | --- | --- | --- | --- | --- |"]
    for metric, by_label in results.items():
        for label, values in by_label.items():
            numbers = (statistics.median(values), min(values), max(values))
            shown = " | ".join("never" if isinf(n) else f"{n:.3g}" for n in numbers)
            lines.append(f"| {metric} | {label} | {shown} | {len(values)} |")
    return "\n".join(lines)


def write_between_markers(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the text between the markers of a file; raises NoMarkers when it has none."""
    before, opened, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise NoMarkers(f"{path} has no {begin} … {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def write_json(path: Path, results: Results, conditions: str, notes: Sequence[str]) -> None:
    """Every value of every round."""
    values = {
        metric: {label: [None if isinf(v) else v for v in each] for label, each in labels.items()}
        for metric, labels in results.items()
    }
    document = {"conditions": conditions, "notes": list(notes), "results": values}
    path.write_text(json.dumps(document, indent=1) + "\n")


def keep(results: Results, earlier: Path, rows: str) -> str:
    """Add what an earlier run measured and this one did not; says so with its conditions."""
    document = json.loads(earlier.read_text())
    for metric, by_label in document["results"].items():
        for label, values in by_label.items():
            if label not in results[metric]:
                results[metric][label] = [inf if value is None else value for value in values]
    date = datetime.now(UTC).date().isoformat()
    return f"{document['conditions']} Measured again for ATOLL on {date}, after a change: {rows}."


def _labelled(best: tuple[str, float], unit: str) -> str:
    label, value = best
    return f"{figure(value, unit)} ({label})" if not isinf(value) else "never"


def _goal(verdict: Verdict) -> str:
    line, goal = verdict.line, verdict.goal
    if goal is None:
        return "-"
    sign = "≥" if line.least else "≤"
    ratio = f"{line.ratio:g} x = " if line.ratio is not None else ""
    return f"{sign} {ratio}{figure(goal, line.unit)}"
