"""Tables and progress bars on a terminal; imports rich, so it is itself imported late."""

from collections.abc import Iterable
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table as RichTable
from rich.text import Text

from atoll_supervisor.cli.columns import Table, is_number

_COLOURS = {"running": "green", "starting": "yellow", "failed": "red", "stopped": "dim"}


def draw_table(table: Table) -> None:
    """Draw a table that has rows on stdout, in the width of the terminal."""
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, column in zip(table.headings, zip(*table.rows, strict=True), strict=True):
        justify: Literal["left", "right"] = "right" if is_number(heading) else "left"
        # On a narrow terminal the model's name gives way, never what one acts on.
        least = None if heading == "MODEL" else max(map(len, (heading, *column)))
        drawn.add_column(heading, justify=justify, no_wrap=least is not None, min_width=least)
    for row in table.rows:
        # Text, never markup: a cell may hold square brackets of a stranger.
        drawn.add_row(*(Text(cell, style=_COLOURS.get(cell.split(" ")[0], "")) for cell in row))
    Console(highlight=False).print(drawn)


def draw_progress(steps: Iterable[tuple[str, int, int]]) -> None:
    """Draw a bar on stderr for each status that comes as (status, bytes done, bytes in all)."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        now, bar = "", None
        for status, completed, total in steps:
            if status != now:
                _fill(bars, bar)
                now, bar = status, _begin(bars, status, total)
            if bar is not None:
                bars.update(bar, completed=completed)


def _begin(bars: Progress, status: str, total: int) -> TaskID | None:
    """A bar for a step of known size, a line for any other."""
    if total:
        return bars.add_task(status, total=total)
    bars.console.print(Text(status))
    return None


def _fill(bars: Progress, bar: TaskID | None) -> None:
    """The next step has begun, so this one is complete, however fast it went."""
    if bar is not None:
        bars.update(bar, completed=bars.tasks[bars.task_ids.index(bar)].total)
