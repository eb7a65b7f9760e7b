"""A child that does not outlive its parent."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the *thread* that forked us ends."""


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent dies; raises OSError where that fails.

    A parent that died before this call is found out by `tell_ready`, whose pipe
    then has no reader.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
