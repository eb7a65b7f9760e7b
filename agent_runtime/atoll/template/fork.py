"""Two forks, so that the new process becomes a child of the keeper, which sees how it ends.

The process between them lives for a moment. It puts the mark on the new
process before that exists, so that one whose pid nobody was told can still be
recognised, and tells the pid.
"""

import errno
import os
import resource
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_PID = struct.Struct("i")
"""The pid of the new process, or an errno below zero."""


def fork_marked(mark: int, become: Callable[[int], NoReturn]) -> int:
    """Fork a process that calls `become` with its first parent's pid; returns its own.

    Raises OSError when there is no room for it. When this returns its parent is
    the nearest subreaper above us.
    """
    reading, writing = os.pipe()
    middle = _forked(reading, writing)
    if middle == 0:
        os.close(reading)
        _between(writing, mark, become)
    os.close(writing)
    try:
        told = os.read(reading, _PID.size)
    finally:
        os.close(reading)
        os.waitpid(middle, 0)
    return _pid(told)


def _forked(*pipe: int) -> int:
    try:
        return os.fork()
    except OSError:
        for fd in pipe:
            os.close(fd)
        raise


def _between(writing: int, mark: int, become: Callable[[int], NoReturn]) -> NoReturn:
    """The process in the middle, which never returns to the template's loop."""
    try:
        middle, pid = os.getpid(), _fork_marked(mark)
        if pid == 0:
            os.close(writing)
            become(middle)
        os.write(writing, _PID.pack(pid))
    finally:
        os._exit(0)


def _fork_marked(mark: int) -> int:
    """What `os.fork` returns, or an errno below zero."""
    try:
        _set_mark(mark)
        return os.fork()
    except OSError as error:
        return -(error.errno or errno.EIO)


def _set_mark(mark: int) -> None:
    """Where the limit cannot be so high the process goes without a mark."""
    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))


def _pid(told: bytes) -> int:
    if len(told) != _PID.size:
        raise OSError(errno.EIO, "the process between was killed")
    pid: int = _PID.unpack(told)[0]
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid
