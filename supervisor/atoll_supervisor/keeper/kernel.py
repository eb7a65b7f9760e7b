"""What the standard library lacks of prctl(2), and limits of descriptors."""

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

_PDEATHSIG = 1
_NAME = 15
_CHILD_SUBREAPER = 36

FIRST_WITHOUT_MEMORY = 200
"""A unit's oom_score_adj: as if it held a fifth of the machine's memory more than it does."""

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Let orphans of this process's descendants become its children; raises OSError."""
    _prctl(_CHILD_SUBREAPER, ctypes.c_ulong(1), "PR_SET_CHILD_SUBREAPER")


def die_with_parent(number: int) -> None:
    """Have the kernel send us this signal when the thread that forked us ends; raises OSError."""
    _prctl(_PDEATHSIG, ctypes.c_ulong(number), "PR_SET_PDEATHSIG")


def name_process(name: str) -> None:
    """What `ps -o comm` and `top` show, cut to 15 bytes; raises OSError."""
    _prctl(_NAME, ctypes.c_char_p(name.encode()), "PR_SET_NAME")


def raise_descriptor_limit() -> int:
    """Take as many descriptors as we may; returns the soft limit there was, for our children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit_descriptors(hard)
    return soft


def limit_descriptors(soft: int) -> None:
    """Set our own soft limit; a system call filter that forbids it leaves things as they are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def be_first_without_memory() -> None:
    """Stand before the keeper when memory runs out (oom_score_adj, proc(5)).

    Units go first and the keeper last, because every unit goes with it; also where
    nobody could protect the keeper. Raising the score needs no privilege.
    """
    path = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        if int(path.read_text()) < FIRST_WITHOUT_MEMORY:
            path.write_text(str(FIRST_WITHOUT_MEMORY))


def _prctl(option: int, value: ctypes.c_ulong | ctypes.c_char_p, name: str) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, value, zero, zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"prctl({name})")
