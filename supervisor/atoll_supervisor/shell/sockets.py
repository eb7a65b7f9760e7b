"""Listening sockets that the daemon holds for its units.

A held socket outlives the processes that serve it: while one is replaced,
connections wait in the backlog instead of being refused (DESIGN section 3).
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

BACKLOG = 2048
_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


class Holder(NamedTuple):
    """Who holds a port."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket, not inherited by anybody by itself; raises OSError.

    The protocol is named on purpose: without IPPROTO_TCP asyncio does not set
    TCP_NODELAY on accepted connections, which costs 45 ms an answer
    (performance.md, "One more trap").
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def port_of(sock: socket.socket) -> int:
    """The port a socket is bound to."""
    port: int = sock.getsockname()[1]
    return port


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
        fresh = bind(host, port)
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


def port_holder(port: int) -> Holder | None:
    """Who listens on a TCP port, as far as this user may see it; a full scan of /proc."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_socket(process, inodes):
            return Holder(int(process.name), _name_of(process))
    return None


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        fields = (row.split() for row in rows)
        found |= {
            f[9] for f in fields if f[3] == _LISTEN and int(f[1].rpartition(":")[2], 16) == port
        }
    return found


def _has_socket(process: Path, inodes: set[str]) -> bool:
    links = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(_link(fd) in links for fd in (process / "fd").iterdir())
    except OSError:
        return False


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"
