"""`atoll up [-d]`: start the daemon here, or in the background."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from atoll.config.loopback import url_of
from atoll_supervisor.api.rows import agent_row
from atoll_supervisor.cli.banner import banner
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import holding, places, settings
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.answers import Startup
from atoll_supervisor.core.row import Row
from atoll_supervisor.settings import Settings

Flag = Path | str | int | None


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Start it in the background.")
@click.option(
    "--agents-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with one sub-folder for each agent.  [default: ./atoll_agents]",
)
@click.option(
    "--recipes-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of your own service recipes.  [default: ./recipes]",
)
@click.option("--host", help="Address to listen at.  [default: 127.0.0.1]")
@click.option(
    "--base-port",
    type=click.IntRange(1024, 65535),
    help="Agents get ports from here up.  [default: 8100]",
)
@click.option(
    "--auth",
    type=click.Choice(["token", "none"]),
    help="Whether management needs the token.  [default: token]",
)
@click.option(
    "--wait", default=60.0, show_default=True, help="With -d: seconds until it must be up."
)
@finds_daemon
def up(detach: bool, wait: float, **flags: Flag) -> None:
    """Start the daemon and with it every agent."""
    found = settings(**flags)
    if detach:
        _background(found, flags, wait)
    else:
        _foreground(found)


def _foreground(found: Settings) -> None:
    # Late: the daemon brings litestar, uvicorn and the whole fleet along.
    from atoll_supervisor.daemon import run  # noqa: PLC0415

    run(found, places(), _announce)


def _background(found: Settings, flags: Mapping[str, Flag], wait: float) -> None:
    # Late: it imports httpx.
    from atoll_supervisor.cli.background import spawn, until_up  # noqa: PLC0415

    if running := holding():
        if not running.pid:
            message = f"something holds {places().lock} and did not write down what it is"
            raise Failure(message, Exit.FAILED, f"find it with: fuser {places().lock}")
        say(f"already running (pid {running.pid})")
        url = url_of(found.host, running.api_port)
        startup = asyncio.run(until_up(url, running.pid, wait, lambda: None))
    else:
        spawned = spawn(_words(flags), places().state / "daemon.log")
        url = url_of(found.host, found.api_port)
        startup = asyncio.run(until_up(url, spawned.pid, wait, spawned.check))
    _tell(startup)


def _words(flags: Mapping[str, Flag]) -> list[str]:
    """The given options as words of a command line."""
    common: dict[str, Flag] = {"state_dir": given().state_dir, "api_port": given().api_port}
    pairs = [(name, flag) for name, flag in {**common, **flags}.items() if flag is not None]
    return [word for name, flag in pairs for word in (f"--{name.replace('_', '-')}", str(flag))]


def _announce(rows: Sequence[Row], url: str) -> None:
    _tell(Startup(url, os.getpid(), tuple(map(agent_row, rows))))


def _tell(startup: Startup) -> None:
    if given().json:
        out_json(startup)
    else:
        out(banner(startup.agents, startup.url))
