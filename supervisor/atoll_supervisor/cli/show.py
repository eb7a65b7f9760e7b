"""`atoll show NAME`: everything known of one agent."""

import asyncio

import click

from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.columns import details, history
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.core.happening import Happening
from atoll_supervisor.core.row import Row

EVENTS = 5
"""The last events that are shown."""


@click.command()
@click.argument("name")
@finds_daemon
def show(name: str) -> None:
    """Show everything known of one agent."""
    row, happenings = asyncio.run(_ask(name, events=0 if given().json else EVENTS))
    if given().json:
        out_json(row)
        return
    pairs = [*details(row), *history(happenings)]
    width = max(len(key) for key, _ in pairs)
    for key, value in pairs:
        out(f"{key.ljust(width)}  {value}")


async def _ask(name: str, events: int) -> tuple[Row, tuple[Happening, ...]]:
    async with connect() as daemon:
        row = await daemon.row(name)
        try:
            return row, await daemon.events(name, None, events) if events else ()
        except Failure as failure:
            if failure.exit is not Exit.AUTH:  # a row may be read without the token
                raise
            return row, ()
