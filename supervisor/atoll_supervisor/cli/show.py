"""`atoll show NAME`: everything known of one agent."""

import asyncio

import click

from atoll_supervisor.cli.columns import details
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.core.row import Row


@click.command()
@click.argument("name")
@finds_daemon
def show(name: str) -> None:
    """Show everything known of one agent."""
    row = asyncio.run(_row(name))
    if given().json:
        out_json(row)
        return
    pairs = details(row)
    width = max(len(key) for key, _ in pairs)
    for key, value in pairs:
        out(f"{key.ljust(width)}  {value}")


async def _row(name: str) -> Row:
    async with connect() as daemon:
        return await daemon.row(name)
