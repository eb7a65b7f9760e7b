"""The management API's socket: systemd's, or one that outlives the daemon with the keeper."""

import asyncio
import os
import socket
from collections.abc import Iterable, MutableMapping

from msgspec import Struct

from atoll.http.sockets import FIRST_FD, bind, inherited
from atoll_supervisor.keeper.protocol import Close, Held, State
from atoll_supervisor.shell.keeper_link import KeeperLink

UNIT = "@api"
"""What the keeper calls the socket; no unit's slug begins so."""
LIMIT = 5.0


class OwnPort:
    """The listening socket; `from_systemd` when its socket unit gave it."""

    def __init__(self, sock: socket.socket, *, from_systemd: bool) -> None:
        self.sock = sock
        self._spare = sock.dup() if from_systemd else None

    def pass_on(self, environ: MutableMapping[str, str]) -> None:
        """Hand systemd's socket to the program that this process becomes, as systemd did."""
        if self._spare is None:
            return
        os.dup2(self._spare.fileno(), FIRST_FD, inheritable=True)
        environ.update({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})

    def close(self) -> None:
        """Give it up; whoever else holds it keeps it open."""
        self.sock.close()
        if self._spare is not None:
            self._spare.close()


class Wish(Struct, frozen=True):
    """Where the API is to listen."""

    host: str
    port: int


async def own_port(
    wish: Wish, link: KeeperLink, states: Iterable[State], environ: MutableMapping[str, str]
) -> OwnPort:
    """The socket to serve the API on; raises BindFailed that names `--api-port`.

    A socket that the keeper holds for an earlier daemon on another address is closed.
    """
    given = inherited(environ, os.getpid())
    there = (state for state in states if isinstance(state, Held) and state.unit == UNIT)
    for held in there:
        if given is not None or (held.host, held.port) != (wish.host, wish.port):
            link.send(Close(UNIT))
    if given is not None:
        return OwnPort(given, from_systemd=True)
    try:
        async with asyncio.timeout(LIMIT):
            sock = await link.listen(UNIT, wish.host, wish.port)
    except OSError:  # TimeoutError too: our own try says best what is in the way
        sock = bind(wish.host, wish.port, "--api-port")
    return OwnPort(sock, from_systemd=False)
