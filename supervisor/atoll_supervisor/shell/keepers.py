"""Finding the keeper of a fleet, starting one where there is none, ending one that is left."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from atoll.errors import AtollError
from atoll_supervisor.keeper.command import keeper_command
from atoll_supervisor.keeper.packets import encode
from atoll_supervisor.keeper.protocol import VERSION, Leave, State
from atoll_supervisor.shell.environ import child_environment
from atoll_supervisor.shell.keeper_link import KeeperLink

LIMIT = 5.0
"""Seconds in which a keeper must be up and have told everything."""
_PAUSE = 0.01
_SIGNALS = [n for n in signal.valid_signals() if n not in (signal.SIGKILL, signal.SIGSTOP)]
STARTED_BY = "ATOLL_KEEPER"
"""The variable that says `systemd` where a unit of systemd is the keeper."""


class NoKeeper(AtollError):
    """There is no keeper, and none can be had."""

    code = "no_keeper"


class Reached(Struct, frozen=True):
    """A link to a keeper and all that it knew; `fresh` when it was started just now."""

    link: KeeperLink
    pid: int
    states: tuple[State, ...]
    fresh: bool


async def reach(path: Path, log: Path, environ: Mapping[str, str]) -> Reached:
    """Connect to the keeper at `path`, started if there is none; raises NoKeeper."""
    fresh = False
    try:
        async with asyncio.timeout(LIMIT):
            sock = await _found(path)
            if sock is None:
                fresh = True
                sock = await _started(path, log, environ)
            return await _introduced(KeeperLink(sock), fresh)
    except TimeoutError:
        raise NoKeeper(
            f"the keeper at {path} is not up after {LIMIT:g} s; its log: {log}"
        ) from None
    except OSError as error:
        raise NoKeeper(f"the keeper at {path} is out of reach: {error}; its log: {log}") from error


async def _introduced(link: KeeperLink, fresh: bool) -> Reached:
    """Hear who it is and what it has; raises NoKeeper for one that speaks otherwise."""
    try:
        welcome = await link.welcome
        if welcome.version != VERSION:
            raise NoKeeper(
                f"the keeper (pid {welcome.pid}) of these agents is of another version "
                f"(it speaks {welcome.version}, we {VERSION}): end the agents with `atoll down`, "
                "then start them with `atoll up -d`"
            )
        await link.synced
    except BaseException:
        link.close()
        raise
    return Reached(link, welcome.pid, link.take(), fresh)


async def _started(path: Path, log: Path, environ: Mapping[str, str]) -> socket.socket:
    """Connect to a keeper on its way: one that we start, or systemd's."""
    pid = None if environ.get(STARTED_BY) == "systemd" else _start(path, log, environ)
    while (sock := await _found(path)) is None:
        if pid is not None and reap(pid):
            raise NoKeeper(f"the keeper ended at once: see {log}")
        await asyncio.sleep(_PAUSE)
    return sock


def _start(path: Path, log: Path, environ: Mapping[str, str]) -> int:
    """In a session of its own; it closes what it inherits and leaves our directory itself."""
    argv = keeper_command(path, log)
    return os.posix_spawn(
        argv[0],
        argv,
        child_environment(environ, (), {}),
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)],
        setsid=True,
        setsigmask=(),
        setsigdef=_SIGNALS,
    )


def reap(pid: int) -> bool:
    """Bury a keeper that has ended, if it is our child; whether it was."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # an earlier daemon's
        return False


def lives(path: Path) -> bool:
    """Whether a keeper answers there; to be asked only while no daemon is connected."""
    try:
        sock = _connect(path)
    except BlockingIOError:
        return True
    if sock is not None:
        sock.close()
    return sock is not None


def end(path: Path, limit: float) -> bool:
    """Have a keeper end every unit and go; False when it has not after `limit` seconds."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        try:
            sock = _connect(path)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return sock is None or _told_to_leave(sock, until)
    return False


def _told_to_leave(sock: socket.socket, until: float) -> bool:
    with sock, suppress(ConnectionError):
        sock.setblocking(True)
        sock.send(encode(Leave()))
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                if not sock.recv(1):
                    return True
            except TimeoutError:
                return False
        return False
    return True


async def _found(path: Path) -> socket.socket | None:
    """A connection, waited for while the queue is full; None where no keeper listens."""
    while True:
        try:
            return _connect(path)
        except BlockingIOError:
            await asyncio.sleep(_PAUSE)


def _connect(path: Path) -> socket.socket | None:
    """Never waits: raises BlockingIOError while a keeper lets connections queue (unix(7))."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)
        sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except OSError:
        sock.close()
        raise
    return sock
