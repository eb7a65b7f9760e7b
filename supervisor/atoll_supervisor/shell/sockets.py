"""Listening sockets that the daemon holds for its units.

A held socket outlives the processes that serve it: while one is replaced,
connections wait in the backlog instead of being refused (DESIGN section 3).
"""

import socket
from contextlib import suppress

from atoll.adapters.listening import listen, port_of


class Sockets:
    """The held sockets, by unit."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def get(self, unit: str) -> socket.socket | None:
        """The unit's socket, if it has one."""
        return self._held.get(unit)

    def hold(self, unit: str, host: str, port: int) -> socket.socket:
        """The unit's socket, bound now unless it is held already; raises OSError."""
        sock = self._held.get(unit)
        if sock is not None and port in (0, port_of(sock)):
            return sock
        fresh = listen(host, port)
        self.release(unit)
        self._held[unit] = fresh
        return fresh

    def release(self, unit: str) -> None:
        """Close the unit's socket: from now on its port refuses connections.

        The shutdown reaches copies in other processes too, so a left-over
        child cannot keep the port open.
        """
        if sock := self._held.pop(unit, None):
            with suppress(OSError):  # it is closed below all the same
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def close(self) -> None:
        """Release every socket."""
        for unit in list(self._held):
            self.release(unit)
