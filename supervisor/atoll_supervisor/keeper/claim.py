"""Who may be the keeper of a socket path: the one that holds the lock beside it.

flock(2): the kernel releases it however a keeper ends. The lock file keeps the
family of the marks (see `mark`), by which a keeper knows what its predecessor
left behind when that was killed.
"""

import fcntl
import os
import socket
import stat
import time
from pathlib import Path

from atoll_supervisor.keeper.mark import MAX_FAMILY, new_family

BACKLOG = 128
_TRIES = 40
_PAUSE = 0.05
"""Seconds between two tries for the lock: one that is just leaving holds it a moment longer."""
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Occupied(Exception):
    """Another keeper has this socket."""


class Claim:
    """The lock on a socket path, held until the process ends; see `claim`."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock
        self.family = _family(lock)

    def listen(self) -> socket.socket:
        """Listen, for our own user only, in place of a socket that is left over; raises OSError."""
        self._unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            sock.bind(str(self._path))
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        finally:
            os.umask(before)
        return sock

    def release(self) -> None:
        """Remove the socket; the lock file stays, for removing it would let two keepers in."""
        self._unlink()
        os.close(self._lock)

    def _unlink(self) -> None:
        """Only ever a socket, whatever somebody else has put there."""
        if self._path.is_socket():
            self._path.unlink()


def claim(path: Path) -> Claim:
    """Take the lock for `path` in a private directory; raises Occupied, OSError."""
    _private(path.parent)
    lock = os.open(path.with_name(f"{path.name}.lock"), _OPEN, 0o600)
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return Claim(path, lock)
    os.close(lock)
    raise Occupied(f"another keeper has {path}")


def _private(folder: Path) -> None:
    """A folder into which nobody else can put a socket; made if it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & _WRITABLE:
        raise PermissionError(1, f"{folder} must belong to us and be writable for nobody else")


def _family(lock: int) -> int:
    """The number in the file, or a new one that is written there."""
    text = os.pread(lock, 16, 0)
    if text.isdigit() and 0 < int(text) <= MAX_FAMILY:
        return int(text)
    family = new_family()
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(family).encode(), 0)
    return family
