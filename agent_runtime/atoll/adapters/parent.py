"""A child that does not outlive its parent."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the *thread* that forked us ends."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies; raises OSError where that fails.

    A parent that died before this call goes unnoticed: look at `os.getppid()`
    afterwards, or at a channel (`KeeperGone`).
    """
    if _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
