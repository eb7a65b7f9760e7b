"""Listening sockets that the keeper holds for its units.

A held socket outlives the processes that serve it: while one is replaced,
connections wait in the backlog instead of being refused (DESIGN section 3).
Sockets are made with proto=IPPROTO_TCP: one of protocol 0 gets no TCP_NODELAY
from asyncio on its connections, which costs 45 ms an answer (performance.md,
"One more trap").
"""

import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from atoll_supervisor.keeper.eventloop import Loop
from atoll_supervisor.keeper.protocol import Held

BACKLOG = 2048
_MAX_PORT = 65_535


class Sockets:
    """The sockets by unit, and of each unit what the daemon is told; `changed` gets the unit."""

    def __init__(self, loop: Loop, changed: Callable[[str], None]) -> None:
        self._loop = loop
        self._changed = changed
        self._sockets: dict[str, socket.socket] = {}
        self._states: dict[str, Held] = {}
        self._watched: set[str] = set()

    @property
    def units(self) -> tuple[str, ...]:
        """Every unit of which there is something to tell."""
        return tuple(self._states)

    @property
    def empty(self) -> bool:
        """Whether no socket is held."""
        return not self._sockets

    def get(self, unit: str) -> socket.socket | None:
        """The unit's socket, if it has one."""
        return self._sockets.get(unit)

    def state(self, unit: str) -> Held:
        """What is true of it now."""
        return self._states.get(unit) or Held(unit, "", 0, held=False)

    def hold(self, unit: str, host: str, port: int) -> None:
        """Bind the unit's socket unless that port is held already.

        A process that serves on another port does so until it is told to go.
        """
        sock = self._sockets.get(unit)
        if sock is None or port not in (0, port_of(sock)):
            try:
                fresh = listen(host, port)
            except OSError as error:
                code = errno.EADDRNOTAVAIL if isinstance(error, socket.gaierror) else error.errno
                self._states[unit] = Held(unit, host, port, held=False, errno=code or errno.EIO)
                self._changed(unit)  # also when it was the same before: it was tried again
                return
            self._let_go(unit)
            self._sockets[unit] = sock = fresh
        self._tell(Held(unit, host, port_of(sock), held=True, waiting=self.state(unit).waiting))

    def release(self, unit: str) -> None:
        """Close the unit's socket: from now on its port refuses connections."""
        self._drop(unit)
        if self._states.pop(unit, None):
            self._changed(unit)

    def watch(self, unit: str) -> None:
        """Say once, by `Held.waiting`, when a client waits."""
        sock = self._sockets.get(unit)
        if sock is not None:
            self._tell(self.state(unit)._replace(waiting=False))
            self._watched.add(unit)
            self._loop.watch(sock.fileno(), partial(self._came, unit))

    def served(self, unit: str) -> None:
        """Somebody takes the clients now: watch no longer."""
        self._unwatch(unit)
        if unit in self._sockets:
            self._tell(self.state(unit)._replace(waiting=False))

    def close(self) -> None:
        """Release every socket."""
        for unit in list(self._sockets):
            self.release(unit)

    def _came(self, unit: str) -> None:
        self._unwatch(unit)
        self._tell(self.state(unit)._replace(waiting=True))

    def _unwatch(self, unit: str) -> None:
        if unit in self._watched:
            self._watched.discard(unit)
            self._loop.unwatch(self._sockets[unit].fileno())

    def _drop(self, unit: str) -> None:
        """The shutdown reaches copies in other processes too: none can keep the port open."""
        if sock := self._sockets.get(unit):
            with suppress(OSError):  # it is closed below all the same
                sock.shutdown(socket.SHUT_RDWR)
        self._let_go(unit)

    def _let_go(self, unit: str) -> None:
        self._unwatch(unit)
        if sock := self._sockets.pop(unit, None):
            sock.close()

    def _tell(self, state: Held) -> None:
        if self._states.get(state.unit) != state:
            self._states[state.unit] = state
            self._changed(state.unit)


def listen(host: str, port: int) -> socket.socket:
    """Listen on `host`:`port` (0 = any free port), inherited by nobody; raises OSError."""
    if not 0 <= port <= _MAX_PORT:
        raise OSError(errno.EINVAL, "no such port")
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )
    family, kind, _, _, address = found[0]
    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, kind, socket.IPPROTO_TCP))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        undo.pop_all()
    return sock


def port_of(sock: socket.socket) -> int:
    """The port a socket is bound to."""
    port: int = sock.getsockname()[1]
    return port
