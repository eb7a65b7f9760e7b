"""`atoll runs start AGENT [INPUT]…`: begin recorded work, and see it through."""

import asyncio
from collections.abc import Sequence
from typing import IO

import click

from atoll.wire.json import JsonObject
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.comeback import is_back
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.run_inputs import inputs_of
from atoll_supervisor.cli.run_lines import result_text, told_line
from atoll_supervisor.cli.target import connect
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.runs.records import Kind
from atoll_supervisor.core.runs.view import RunBody

_HOPELESS = (Exit.AUTH, Exit.NO_SUCH_AGENT)


@click.command()
@click.argument("agent")
@click.argument("inputs", nargs=-1, metavar="[NAME=TEXT | NAME:=JSON | WORDS]...")
@click.option("--flock", is_flag=True, help="Go on with whom the agent hands off to.")
@click.option("-d", "--detach", is_flag=True, help="Print the run's id and leave it to the daemon.")
@click.option(
    "--file", "document", type=click.File("rb"), help="Inputs as a JSON object; - reads it here."
)
@finds_daemon
def start(
    agent: str, inputs: Sequence[str], flock: bool, detach: bool, document: IO[bytes] | None
) -> None:
    """Run an agent and record it. Bare words are its input `query`.

    Ctrl-C leaves the run to the daemon; `atoll runs cancel` ends it.
    """
    run = asyncio.run(_begin("flock" if flock else "agent", agent, inputs_of(inputs, document)))
    if detach:
        _conclude(run, run.run_id)
        return
    say(f"run {run.run_id}")
    try:
        run = asyncio.run(_ended(run.run_id))
    except KeyboardInterrupt:
        say(f"\nthe run goes on: atoll runs show {run.run_id}")
        raise
    _conclude(run, result_text(run.result or {}))


async def _begin(kind: Kind, agent: str, inputs: JsonObject) -> RunBody:
    async with connect() as daemon:
        return await daemon.start_run(kind, agent, inputs)


async def _ended(run_id: str) -> RunBody:
    """Tell each event once, over restarts of the daemon; what has become of the run."""
    place = 0
    while True:
        try:
            async with connect() as daemon:
                async for told in daemon.follow_run(run_id, place):
                    place = told.id
                    say(told_line(told))
                run = await daemon.run(run_id)
                if run.completed_at:
                    return run
        except Failure as failure:
            if failure.exit in _HOPELESS or not await is_back():
                raise


def _conclude(run: RunBody, text: str) -> None:
    """Print what was asked for; raises Failure for a run that did not end well."""
    bad = run.status in ("failed", "cancelled")
    if given().json:
        out_json(run)
    elif not bad:
        out(text)
    if bad:
        why = run.error or f"the run is {run.status}"
        unknown = run.reason == "agent_not_found"
        exit = Exit.NO_SUCH_AGENT if unknown else Exit.FAILED
        raise Failure(why, exit, f"see: atoll runs show {run.run_id}")
