"""Listening TCP sockets, and who else listens. Standard library only.

Sockets are made with proto=IPPROTO_TCP: one of protocol 0 gets no TCP_NODELAY
from asyncio on its connections, which costs 45 ms an answer (performance.md,
"One more trap").
"""

import socket
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


def listen(host: str, port: int) -> socket.socket:
    """Listen on `host`:`port` (0 = any free port), inherited by nobody; raises OSError."""
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )
    family, kind, _, _, address = found[0]
    sock = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def can_bind(host: str, port: int) -> bool:
    """Whether nobody listens there now; connections that have ended do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True


def port_of(sock: socket.socket) -> int:
    """The port a socket is bound to."""
    port: int = sock.getsockname()[1]
    return port


def port_holder(port: int) -> Holder | None:
    """Who listens on a TCP port, as far as this user may see it; a full scan of /proc."""
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if links and _holds(process, links):
            return Holder(int(process.name), _read(process / "comm").strip() or "a process")
    return None


def _listening_inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on `port`; the columns are those of proc_pid_net(5)."""
    rows = _read(Path("/proc/net/tcp")).splitlines() + _read(Path("/proc/net/tcp6")).splitlines()
    fields = [row.split() for row in rows]
    wanted = f":{port:04X}"
    return {f[9] for f in fields if len(f) > 9 and f[3] == _LISTEN and f[1].endswith(wanted)}


def _holds(process: Path, links: set[str]) -> bool:
    try:
        return any(_link(fd) in links for fd in (process / "fd").iterdir())
    except OSError:  # another user's process, or one that just ended
        return False


def _link(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:  # closed meanwhile, as the descriptor of our own listing always is
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
