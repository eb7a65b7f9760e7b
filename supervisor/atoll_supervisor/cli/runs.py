"""`atoll runs [list|start|show|cancel]`: recorded work, what became of it, and its end."""

import asyncio

import click
import msgspec

from atoll_supervisor.cli.columns import Table, plain_table
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.run_lines import told_line
from atoll_supervisor.cli.run_start import start
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.runs.answers import RunList
from atoll_supervisor.core.runs.events import Told
from atoll_supervisor.core.runs.view import RunBody, RunRow

HEADINGS = ("RUN", "STATUS", "KIND", "AGENT", "STEPS", "STARTED", "ERROR")
STATUSES = ("starting", "running", "completed", "failed", "cancelled")
MOST_ERROR = 60
"""Characters of an error in the list."""


@click.group(invoke_without_command=True)
@click.pass_context
@finds_daemon
def runs(context: click.Context) -> None:
    """Recorded runs: list them, start one, show one, cancel one."""
    if context.invoked_subcommand is None:
        context.invoke(list_runs)


runs.add_command(start)


@runs.command("list")
@click.option(
    "-n", "--tail", default=20, show_default=True, type=click.IntRange(1, 10_000), help="The last."
)
@click.option("--status", type=click.Choice(STATUSES), help="Only those with this status.")
@click.option("--agent", help="Only those begun with this agent.")
@finds_daemon
def list_runs(tail: int = 20, status: str | None = None, agent: str | None = None) -> None:
    """List the newest runs, newest first."""
    found = asyncio.run(_list(tail, status, agent))
    if given().json:
        out_json(RunList(found, len(found), None))
    elif found:
        out(plain_table(_table(found)))
    else:
        say("no runs yet: `atoll runs start AGENT` makes one, and POST /run/agent")


@runs.command()
@click.argument("run_id")
@finds_daemon
def show(run_id: str) -> None:
    """Show one run and what happened to it."""
    run, told = asyncio.run(_show(run_id))
    if given().json:
        out_json(run)
        return
    _tell(run)
    for one in told:
        out(told_line(one))


@runs.command()
@click.argument("run_id")
@finds_daemon
def cancel(run_id: str) -> None:
    """End a run; one that has ended already is left as it is."""
    run = asyncio.run(_cancel(run_id))
    if given().json:
        out_json(run)
    else:
        out(f"{run.run_id} {run.status}")


async def _list(tail: int, status: str | None, agent: str | None) -> tuple[RunRow, ...]:
    async with connect() as daemon:
        return await daemon.runs(tail, status, agent)


async def _show(run_id: str) -> tuple[RunBody, tuple[Told, ...]]:
    async with connect() as daemon:
        return await daemon.run(run_id), await daemon.run_events(run_id)


async def _cancel(run_id: str) -> RunBody:
    async with connect() as daemon:
        return await daemon.cancel_run(run_id)


def _table(found: tuple[RunRow, ...]) -> Table:
    return Table(HEADINGS, tuple(_cells(row) for row in found))


def _cells(row: RunRow) -> tuple[str, ...]:
    error = plain_line(row.error or "-")
    short = error if len(error) <= MOST_ERROR else f"{error[: MOST_ERROR - 1]}…"
    agent = plain_line(row.agent_name)
    return (row.run_id, row.status, row.kind, agent, str(row.steps), row.started_at, short)


def _tell(run: RunBody) -> None:
    result = "" if run.result is None else msgspec.json.encode(run.result).decode()
    pairs = [
        ("run", run.run_id),
        ("status", run.status),
        ("agent", run.agent_name),
        ("kind", run.kind),
        ("path", " -> ".join(run.path)),
        ("started", run.started_at),
        ("ended", run.completed_at or ""),
        ("reason", run.reason or ""),
        ("error", run.error or ""),
        ("result", result),
    ]
    for name, value in pairs:
        if value:
            out(f"{name.ljust(7)}  {plain_line(value)}")
