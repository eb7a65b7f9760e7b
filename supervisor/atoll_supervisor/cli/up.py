"""`atoll up [-d]`: start the daemon here, or in the background."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click

from atoll_supervisor.cli.banner import banner
from atoll_supervisor.cli.options import finds_daemon, given
from atoll_supervisor.cli.target import holding, places
from atoll_supervisor.cli.terminal import out, out_json, say
from atoll_supervisor.core.answers import Startup
from atoll_supervisor.core.row import Row
from atoll_supervisor.settings import Settings, read_settings

Flag = Path | str | int | None


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Start it in the background.")
@click.option(
    "--agents-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with one sub-folder for each agent.  [default: ./atoll_agents]",
)
@click.option("--host", help="Address to listen at.  [default: 127.0.0.1]")
@click.option(
    "--base-port",
    type=click.IntRange(1, 65535),
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
    common: dict[str, Flag] = {"state_dir": given().state_dir, "api_port": given().api_port}
    chosen = {name: str(flag) for name, flag in (flags | common).items() if flag is not None}
    settings = read_settings(chosen, os.environ, Path.cwd(), Path.home())
    if detach:
        _background(settings, chosen, wait)
    else:
        _foreground(settings)


def _foreground(settings: Settings) -> None:
    # Late: the daemon brings litestar, uvicorn and the whole fleet along.
    from atoll_supervisor.daemon import run  # noqa: PLC0415

    run(settings, places(), _announce)


def _background(settings: Settings, flags: dict[str, str], wait: float) -> None:
    # Late: it imports httpx.
    from atoll_supervisor.cli.background import spawn, until_up  # noqa: PLC0415

    if running := holding():
        say(f"already running (pid {running.pid})")
        url = _url(settings.host, running.api_port)
        found = asyncio.run(until_up(url, running.pid, wait, lambda: None))
    else:
        spawned = spawn(flags, places().state / "daemon.log")
        url = _url(settings.host, settings.api_port)
        found = asyncio.run(until_up(url, spawned.pid, wait, spawned.check))
    _tell(found)


def _url(host: str, port: int) -> str:
    """Where a daemon that is bound to `host` can be reached from here."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  not a bind
    return f"http://{reachable}:{port}"


def _announce(rows: Sequence[Row], url: str) -> None:
    _tell(Startup(url, os.getpid(), tuple(rows)))


def _tell(startup: Startup) -> None:
    if given().json:
        out_json(startup)
    else:
        out(banner(startup.agents, startup.url))
