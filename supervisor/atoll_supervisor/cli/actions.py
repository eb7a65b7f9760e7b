"""`atoll start|stop|restart NAME…|--all`."""

import asyncio
from collections.abc import Sequence

import click
from msgspec import Struct

from atoll_supervisor.cli.banner import agent_line
from atoll_supervisor.cli.codes import Exit, Failure, joint
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import Verb, connect
from atoll_supervisor.cli.terminal import complain, out, out_json
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.row import Row

AT_ONCE = 64
"""Agents that one command has under way; httpx allows 100 connections.

How many really start side by side is for the daemon to say, and a stop is mostly
waiting for the answers under way.
"""


class Undone(Struct, frozen=True):
    """An agent that the command could not serve."""

    name: str
    detail: str
    exit: int
    hint: str = ""


class Report(Struct, frozen=True):
    """What `--json` prints."""

    agents: tuple[Row, ...]
    errors: tuple[Undone, ...]


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everyone", is_flag=True, help="Every agent.")
@finds_daemon
def start(names: tuple[str, ...], everyone: bool) -> int:
    """Start agents and wait until they serve."""
    return _act("start", names, everyone)


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everyone", is_flag=True, help="Every agent.")
@finds_daemon
def stop(names: tuple[str, ...], everyone: bool) -> int:
    """Stop agents and wait until their processes are gone."""
    return _act("stop", names, everyone)


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everyone", is_flag=True, help="Every agent.")
@finds_daemon
def restart(names: tuple[str, ...], everyone: bool) -> int:
    """Restart agents; their clients meet no refused connection."""
    return _act("restart", names, everyone)


def _act(verb: Verb, names: Sequence[str], everyone: bool) -> int:
    if everyone == bool(names):
        raise click.UsageError("give the names of agents, or --all")
    results = asyncio.run(_all(verb, names))
    rows = tuple(result for result in results if isinstance(result, Row))
    errors = tuple(result for result in results if isinstance(result, Undone))
    if given().json:
        out_json(Report(rows, errors))
    else:
        _tell(verb, rows, errors)
    return joint([_exit(verb, result) for result in results])


async def _all(verb: Verb, names: Sequence[str]) -> list[Row | Undone]:
    limit = asyncio.Semaphore(AT_ONCE)
    async with connect() as daemon:
        chosen = names or [row.slug for row in await daemon.rows()]

        async def one(name: str) -> Row | Undone:
            async with limit:
                try:
                    return await daemon.act(verb, name)
                except Failure as failure:
                    if failure.exit in (Exit.NOT_RUNNING, Exit.AUTH):
                        raise  # it would be the same for every other agent
                    return Undone(name, str(failure), failure.exit, failure.hint)

        return await asyncio.gather(*(one(name) for name in dict.fromkeys(chosen)))


def _tell(verb: Verb, rows: Sequence[Row], errors: Sequence[Undone]) -> None:
    for row in rows:
        out(agent_line(row))
        if not _reached(verb, row):
            _complain_of(row)
    for error in errors:
        complain(error.detail, error.hint)


def _exit(verb: Verb, result: Row | Undone) -> Exit:
    match result:
        case Undone():
            return Exit(result.exit)
        case Row():
            return Exit.OK if _reached(verb, result) else Exit.FAILED


def _reached(verb: Verb, row: Row) -> bool:
    return row.status == ("stopped" if verb == "stop" else "running")


def _complain_of(row: Row) -> None:
    """Why it is not where it was to go; an invalid manifest was never run and has no output."""
    why = row.reason or row.config_error or "no reason known"
    hint = "" if row.phase == "invalid" else f"its output: atoll logs {row.slug}"
    complain(f"{plain_line(row.name)} is {row.status}: {why}", hint)
