"""`atoll keeper`: be the keeper of a fleet, for a service manager that starts both parts."""

import os

import click

from atoll.adapters.private import private_directory
from atoll_supervisor.cli.options import finds_daemon
from atoll_supervisor.cli.target import places
from atoll_supervisor.keeper.command import keeper_command


@click.command("keeper")
@finds_daemon
def keeper() -> None:
    """Hold the agents and their sockets: for systemd, `up` does it by itself.

    Becomes the keeper (execve(2)), so that nothing of this command stays.
    """
    found = places()
    for folder in (found.state, found.runtime):
        private_directory(folder)
    command = keeper_command(found.keeper, found.state / "keeper.log")
    os.execve(command[0], command, {})  # noqa: S606  our own interpreter and module, no shell
