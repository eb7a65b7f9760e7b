"""`atoll reload [NAME…] [--runtime]`: read the manifests again, or move to new runtime code."""

import asyncio
from collections.abc import Sequence

import click
from msgspec import Struct

from atoll_supervisor.cli.banner import agent_line
from atoll_supervisor.cli.codes import Exit
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json
from atoll_supervisor.core.row import Row


class Report(Struct, frozen=True):
    """What `--json` prints."""

    agents: tuple[Row, ...]
    renewed: tuple[str, ...]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--runtime", is_flag=True, help="Also move every agent to the code on the disk.")
@finds_daemon
def reload(names: tuple[str, ...], runtime: bool) -> int:
    """Read the agents directory again, and show the agents (those named) as they are then.

    A changed agent is replaced side by side: its clients meet no refused connection.
    """
    report = asyncio.run(_reload(names, runtime))
    if given().json:
        out_json(report)
    else:
        for row in report.agents:
            out(agent_line(row))
        if runtime:
            out(f"{len(report.renewed)} agents move to the new runtime, a few at a time")
    return Exit.CONFIG if any(row.config_error for row in report.agents) else Exit.OK


async def _reload(names: Sequence[str], runtime: bool) -> Report:
    async with connect() as daemon:
        renewed = await daemon.reload(runtime=runtime)
        rows = [await daemon.row(name) for name in names] if names else await daemon.rows()
        return Report(tuple(rows), renewed)
