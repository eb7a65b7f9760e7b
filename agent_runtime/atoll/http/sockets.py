"""Listening sockets of a server: bound by us, or inherited from whoever started us."""

import errno
import os
import socket
from collections.abc import MutableMapping

from atoll.adapters.listening import listen, port_holder
from atoll.errors import AtollError

FIRST_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class BindFailed(AtollError):
    """An address cannot be listened on; says who holds it and what to do."""

    code = "bind_failed"
    who = "client"


def bind(host: str, port: int, flag: str = "--port") -> socket.socket:
    """Listen on `host`:`port`; raises BindFailed that names the `flag` which mends it."""
    try:
        return listen(host, port)
    except OSError as error:
        raise BindFailed(_explain(host, port, flag, error)) from error


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
    if int(count) > 1:
        raise BindFailed(f"{count} sockets were handed over by LISTEN_FDS; an agent serves one")
    return _adopted(FIRST_FD)


def _adopted(fd: int) -> socket.socket:
    """The socket behind an inherited descriptor; raises BindFailed for anything else."""
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BindFailed(f"LISTEN_FDS names descriptor {fd}: {error.strerror}") from error
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise BindFailed(f"LISTEN_FDS names descriptor {fd}, which is no listening TCP socket")
    sock.setblocking(False)
    return sock


def _explain(host: str, port: int, flag: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        return (
            f"port {port} is in use{f' by {holder}' if holder else ''}; choose another with {flag}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} may be used by root only; choose one above 1023 with {flag}"
    return f"cannot listen on {host}:{port}: {error.strerror}"
