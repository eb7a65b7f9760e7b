"""`atoll ps` (also `ls`, `list`): the fleet at a glance."""

import asyncio
import sys
import time
from collections.abc import Sequence

import click

from atoll_supervisor.cli.columns import Table, fleet_table, plain_table, reasons
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import is_screen, out, out_json, say
from atoll_supervisor.core.answers import RowList
from atoll_supervisor.core.row import Row


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten long values.")
@finds_daemon
def ps(quiet: bool, no_trunc: bool) -> None:
    """List the agents and how they are."""
    rows = asyncio.run(_rows())
    if given().json:
        out_json(RowList(rows, len(rows)))
    elif quiet:
        for row in rows:
            out(row.slug)
    else:
        _show(rows, cut=not no_trunc)


async def _rows() -> tuple[Row, ...]:
    async with connect() as daemon:
        return await daemon.rows()


def _show(rows: Sequence[Row], *, cut: bool) -> None:
    if not rows:
        say("no agents yet: put a folder with an agent.toml into the agents directory")
        return
    table = fleet_table(rows, now=time.time(), cut=cut)
    if cut and is_screen(sys.stdout):
        _draw(table)
    else:
        out(plain_table(table))
    for line in reasons(rows):
        out(f"! {line}")


def _draw(table: Table) -> None:
    # Late: rich is only worth its import time where somebody watches.
    from atoll_supervisor.cli.screen import draw_table  # noqa: PLC0415

    draw_table(table)
