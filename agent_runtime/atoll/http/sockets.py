"""Listening sockets: bound by us, or inherited from whoever started us.

Made with proto=IPPROTO_TCP: a socket of protocol 0 gets no TCP_NODELAY from
asyncio on its connections, which costs 45 ms an answer (performance.md, "One
more trap").
"""

import errno
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

from atoll.errors import AtollError

BACKLOG = 2048
_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
FIRST_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class BindFailed(AtollError):
    """An address cannot be listened on; says who holds it and what to do."""

    code = "bind_failed"
    who = "client"


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host`:`port` (0 = any free port); raises BindFailed."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise BindFailed(f"cannot listen on host {host!r}: {error.strerror}") from error
    family, kind, _, _, address = found[0]
    sock = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise BindFailed(_explain(host, port, error)) from error
    sock.setblocking(False)
    return sock


def inherited(environ: MutableMapping[str, str], pid: int) -> socket.socket | None:
    """The listening socket handed over by systemd's protocol, sd_listen_fds(3), or None.

    A supervising parent that forks cannot know our pid when it writes the
    environment: it sets ATOLL_SUPERVISED and LISTEN_PID is not looked at. The
    variables are taken away, so that no child of ours believes them.
    """
    given_pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    meant_for_us = given_pid == str(pid) or "ATOLL_SUPERVISED" in environ
    if not count.isdecimal() or int(count) < 1 or not meant_for_us:
        return None
    os.set_inheritable(FIRST_FD, False)
    sock = socket.socket(fileno=FIRST_FD)
    sock.setblocking(False)
    return sock


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use{_holder(port)}; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} may be used by root only; choose one above 1023 with --port"
    return f"cannot listen on {host}:{port}: {error.strerror}"


def _holder(port: int) -> str:
    """` by NAME (pid N)`, or "" where the system does not tell."""
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        if links and _holds(process, links):
            return f" by {_read(process / 'comm').strip() or 'a process'} (pid {process.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on `port`; the columns are those of proc_pid_net(5)."""
    rows = _read(Path("/proc/net/tcp")).splitlines() + _read(Path("/proc/net/tcp6")).splitlines()
    fields = [row.split() for row in rows]
    wanted = f":{port:04X}"
    return {f[9] for f in fields if len(f) > 9 and f[3] == _LISTEN and f[1].endswith(wanted)}


def _holds(process: Path, links: set[str]) -> bool:
    try:
        return any(str(fd.readlink()) in links for fd in (process / "fd").iterdir())
    except OSError:  # another user's process, or one that just ended
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
