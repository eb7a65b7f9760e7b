"""A fork whose child is our parent's: clone3(2) with CLONE_PARENT.

One fork instead of two: of a process with 35 MiB each takes 4 ms.
`os.fork` cannot do it, so its steps are repeated here: those of CPython (the
public PyOS_BeforeFork, PyOS_AfterFork_Parent and PyOS_AfterFork_Child), and the
one of glibc's that matters to a process with one thread, which knows its own
thread id from memory: the kernel writes the new one there (CLONE_CHILD_SETTID).
"""

import ctypes
import os
from errno import EINVAL, ENOSYS, EPERM

SYS_CLONE3 = 435
"""The same on every architecture that Linux has had it on, since 5.3."""
CLONE_PARENT = 0x00008000
CLONE_CHILD_CLEARTID = 0x00200000
CLONE_CHILD_SETTID = 0x01000000
PR_GET_TID_ADDRESS = 40
"""prctl(2): where libc keeps the thread's id; kernels without CHECKPOINT_RESTORE do not tell."""
_FLAGS = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID
_IMPOSSIBLE = (ENOSYS, EPERM, EINVAL)
"""What an old kernel, and a container's filter of system calls, say."""


class NoSiblings(Exception):
    """This machine does not let us; two forks do the same."""


class _CloneArgs(ctypes.Structure):
    """`struct clone_args` of linux/sched.h; a sibling has our own exit signal, so it stays 0."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid"),
            *("exit_signal", "stack", "stack_size", "tls"),
        )
    )


class Siblings:
    """Forks siblings of this process, which must have one thread."""

    def __init__(self) -> None:
        self._libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the GIL, as os.fork does
        address = ctypes.c_void_p()
        known = self._libc.prctl(PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) == 0
        self._tid = address.value if known else None

    def fork(self) -> int:
        """What `os.fork` returns; raises NoSiblings for ever, or OSError for now."""
        if not self._tid:
            raise NoSiblings
        args = _CloneArgs(flags=_FLAGS, child_tid=self._tid)
        ctypes.pythonapi.PyOS_BeforeFork()
        pid = int(self._libc.syscall(SYS_CLONE3, ctypes.byref(args), ctypes.sizeof(args)))
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            return 0
        error = ctypes.get_errno()
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        if pid < 0 and error in _IMPOSSIBLE:
            self._tid = None
            raise NoSiblings
        if pid < 0:
            raise OSError(error, os.strerror(error))
        return pid
