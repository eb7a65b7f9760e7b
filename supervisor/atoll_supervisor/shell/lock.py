"""One daemon per state directory (faults.md row 16).

flock(2), not a pid file: the kernel releases it however the daemon ends. The
descriptor is never inherited, so no left-over child can keep it; only a daemon
that becomes another program itself (`atoll upgrade`) takes it along, by the
number in ATOLL_LOCK_FD.
"""

import fcntl
import os
import time
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from atoll.adapters.private import private_directory
from atoll.errors import AtollError
from atoll_supervisor.keeper.proc import stat_of

_TRIES = 5
_PAUSE = 0.05
"""`holder` of a passing CLI locks for an instant, which must not stop a daemon's start."""

_MAX = 65_536
_PASSED = "ATOLL_LOCK_FD"


class Holder(Struct, frozen=True):
    """Who holds the lock; `start_time` is the kernel's, in clock ticks since boot."""

    pid: int
    start_time: int
    api_port: int
    state_dir: str


UNKNOWN = Holder(0, 0, 0, "")
"""Somebody holds the lock, and what is written there does not say who."""


class AlreadyRunning(AtollError):
    """Another daemon looks after this fleet."""

    code = "already_running"
    status = 409

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(_sentence(path, holder))
        self.holder = holder


class Lock:
    """The held lock; made by `acquire`, given back by `release` or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(
        cls,
        path: Path,
        api_port: int,
        state_dir: Path,
        environ: MutableMapping[str, str] | None = None,
    ) -> "Lock":
        """Take the lock and write down who we are; raises AlreadyRunning, ConfigError, OSError.

        One that `environ` says was passed on to us is ours already.
        """
        private_directory(path.parent)
        fd = _inherited("" if environ is None else environ.pop(_PASSED, ""), path)
        if fd is None:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _try(fd, fcntl.LOCK_EX):
            found = _read(fd)
            os.close(fd)
            raise AlreadyRunning(path, found)
        lock = cls(fd)
        lock.describe(api_port, state_dir)
        return lock

    def describe(self, api_port: int, state_dir: Path) -> None:
        """Write down who we are, for those who ask `holder`."""
        pid = os.getpid()
        stat = stat_of(pid)
        start_time = 0 if stat is None else stat.start_time
        data = msgspec.json.encode(Holder(pid, start_time, api_port, str(state_dir)))
        with suppress(OSError):  # a full disk: what counts is the lock, not what is written there
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, data, 0)

    def pass_on(self, environ: MutableMapping[str, str]) -> None:
        """Let the program that this process becomes have the lock, told by its environment."""
        os.set_inheritable(self._fd, True)
        environ[_PASSED] = str(self._fd)

    def release(self) -> None:
        """Give the lock back; the file stays, for removing it would let two daemons in."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # a child has a copy until its exec is through
            os.close(self._fd)
        self._fd = -1


def holder(path: Path) -> Holder | None:
    """The daemon that holds the lock now, or None: a stale file counts for nothing.

    UNKNOWN where the lock is held and its file says nothing: it was lost to a full
    disk or an accident, or its daemon is just about to write it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        free = _try(fd, fcntl.LOCK_SH, tries=1)
        return None if free else _read(fd) or UNKNOWN
    finally:
        os.close(fd)


def _inherited(number: str, path: Path) -> int | None:
    """The descriptor that was passed on to us, if it really is of this lock."""
    if not number.isdecimal():
        return None
    fd = int(number)
    try:
        if not os.path.samestat(os.fstat(fd), path.stat()):
            return None
        os.set_inheritable(fd, False)
    except OSError:
        return None
    return fd


def _try(fd: int, kind: int, tries: int = _TRIES) -> bool:
    for attempt in range(tries):
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < tries:
                time.sleep(_PAUSE)
        else:
            return True
    return False


def _read(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, _MAX, 0), type=Holder)
    except msgspec.MsgspecError:
        return None


def _sentence(path: Path, found: Holder | None) -> str:
    if found is None:
        return f"another daemon holds {path}; stop it with `atoll down`"
    return (
        f"a daemon already looks after {found.state_dir}: pid {found.pid}, "
        f"API on port {found.api_port}; stop it with `atoll down --state-dir {found.state_dir}` "
        f"or `kill {found.pid}`"
    )
