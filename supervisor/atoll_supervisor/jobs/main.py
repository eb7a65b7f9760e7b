"""The relay's process: its order, its socket, its channel, its signals, its exit code."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from atoll.adapters.channel import Channel, open_channel
from atoll.errors import AtollError
from atoll.http.sockets import inherited
from atoll_supervisor.core.agent_job import End, JobOrder, decoded
from atoll_supervisor.jobs.relay import Relay
from atoll_supervisor.ports import Cluster
from atoll_supervisor.shell.slurm import Slurm

FAILED, USAGE = 1, 2
REST = "ATOLL_SLURM_REST"
"""The variable with the socket of a slurmrestd, which is asked instead of the commands."""


def main(args: Sequence[str]) -> int:
    """Run one relay; returns its exit code, which is 0 only when it was told to end."""
    try:
        order = decoded(args[0] if args else "")
        channel, sock = open_channel(os.environ), inherited(os.environ, os.getpid())
    except (msgspec.MsgspecError, AtollError) as error:
        return _told(End(USAGE, f"a relay is started by the keeper alone: {error}"))
    if sock is None:
        return _told(End(USAGE, "a relay is started by the keeper alone, with a socket"))
    try:
        return _told(uvloop.run(_run(order, sock, channel)))
    except OSError as error:
        return _told(End(FAILED, f"the job cannot be looked after: {error}"))


async def _run(order: JobOrder, sock: socket.socket, channel: Channel) -> End:
    relay = Relay(order, _cluster(os.environ), sock, channel, os.environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, relay.leave)
    return await relay.run()


def _cluster(environ: Mapping[str, str]) -> Cluster:
    """As the daemon reaches it."""
    commands = Slurm(environ)
    if not (rest := environ.get(REST)):
        return commands
    from atoll_supervisor.shell.slurm_rest import SlurmRest  # noqa: PLC0415  it takes 8 MB

    return SlurmRest(Path(rest), commands)


def _told(end: End) -> int:
    """Its last line on standard error is what the lists show."""
    if end.why:
        sys.stderr.write(f"{end.why}\n")
        sys.stderr.flush()
    return end.code
