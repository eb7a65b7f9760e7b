"""`atoll start|stop|restart NAME…|--all`."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import click
from msgspec import Struct

from atoll_supervisor.cli.banner import agent_line
from atoll_supervisor.cli.codes import Exit, Failure, joint
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import Verb, connect
from atoll_supervisor.cli.terminal import complain, out, out_json
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.row import Row

if TYPE_CHECKING:
    from atoll_supervisor.cli.client import Management

AT_ONCE = 64
"""Agents that one command has under way; httpx allows 100 connections.

How many really start side by side is for the daemon to say, and a stop is mostly
waiting for the answers under way.
"""


class Done(Struct, frozen=True):
    """An agent as it is after the command, and whether it is where that was to bring it."""

    row: Row
    reached: bool


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
    done = tuple(result for result in results if isinstance(result, Done))
    errors = tuple(result for result in results if isinstance(result, Undone))
    if given().json:
        out_json(Report(tuple(one.row for one in done), errors))
    else:
        _tell(done, errors)
    return joint([_exit(result) for result in results])


async def _all(verb: Verb, names: Sequence[str]) -> list[Done | Undone]:
    limit = asyncio.Semaphore(AT_ONCE)
    async with connect() as daemon:
        chosen = names or [row.slug for row in await daemon.rows()]

        async def one(name: str) -> Done | Undone:
            async with limit:
                try:
                    return await _done(daemon, verb, name)
                except Failure as failure:
                    if failure.exit in (Exit.NOT_RUNNING, Exit.AUTH):
                        raise  # it would be the same for every other agent
                    return Undone(name, str(failure), failure.exit, failure.hint)

        return await asyncio.gather(*(one(name) for name in dict.fromkeys(chosen)))


async def _done(daemon: "Management", verb: Verb, name: str) -> Done:
    """A restart that failed leaves the process before it serving: only a later one is success."""
    before = await daemon.row(name) if verb == "restart" else None
    serves = before.generation if before and before.phase == "running" else -1
    row = await daemon.act(verb, name)
    match verb:
        case "stop":
            return Done(row, row.status == "stopped")
        case "start" | "restart":
            return Done(row, row.status == "running" and row.generation > serves)
        case _:
            assert_never(verb)


def _tell(done: Sequence[Done], errors: Sequence[Undone]) -> None:
    for one in done:
        out(agent_line(one.row))
        if not one.reached:
            _complain_of(one.row)
    for error in errors:
        complain(error.detail, error.hint)


def _exit(result: Done | Undone) -> Exit:
    match result:
        case Undone():
            return Exit(result.exit)
        case Done():
            return Exit.OK if result.reached else Exit.FAILED


def _complain_of(row: Row) -> None:
    """Why it is not where it was to go; an invalid manifest was never run and has no output."""
    why = row.reason or row.config_error or "no reason known"
    state = "is not restarted" if row.status == "running" else f"is {row.status}"
    hint = "" if row.phase == "invalid" else f"its output: atoll logs {row.slug}"
    complain(f"{plain_line(row.name)} {state}: {why}", hint)
