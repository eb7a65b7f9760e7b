"""A fork whose process is a child of the keeper, which sees how it ends.

Where the kernel does not make it so at once (`sibling.py`) it takes two forks,
and a process between them that lives for a moment and tells the pid. Whoever
forks last wears the mark meanwhile: the new process has it before it exists, so
that one whose pid nobody was told can still be recognised.
"""

import errno
import os
import resource
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn

from atoll.template.sibling import NoSiblings, Siblings

_PID = struct.Struct("i")
"""The pid of the new process, or an errno below zero."""


Become = Callable[[int], NoReturn]
"""Called in the new process with the pid of a parent that will leave it, or with NOBODY."""

NOBODY = -1


def fork_marked(mark: int, become: Become, siblings: Siblings) -> int:
    """Fork a process that calls `become`; returns its pid, raises OSError when there is no room.

    When this returns its parent is ours, or the nearest subreaper above us,
    which for a template are the same.
    """
    try:
        with _marked(mark):
            pid = siblings.fork()
    except NoSiblings:
        return _fork_twice(mark, become)
    if pid == 0:
        become(NOBODY)
    return pid


def _fork_twice(mark: int, become: Become) -> int:
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


def _between(writing: int, mark: int, become: Become) -> NoReturn:
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
        with _marked(mark):
            return os.fork()
    except OSError as error:
        return -(error.errno or errno.EIO)


@contextmanager
def _marked(mark: int) -> Generator[None]:
    """Where the limit cannot be so high the process goes without a mark."""
    usual, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))
    except (OSError, ValueError):
        yield
        return
    pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == pid:
            resource.setrlimit(resource.RLIMIT_RTTIME, (usual, hard))


def _pid(told: bytes) -> int:
    if len(told) != _PID.size:
        raise OSError(errno.EIO, "the process between was killed")
    pid: int = _PID.unpack(told)[0]
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid
