"""A mark that every process of a unit carries and none loses by accident: a resource limit.

Limits pass through fork and exec (getrlimit(2)): a new session, a double fork
and an emptied environment, which between them lose every other tie, leave them
as they are. The limit is the soft RLIMIT_RTTIME, the microseconds that a
process may run under real-time scheduling without a pause. A mark is a number
from 2**62 up: more than 146,000 years, so it limits nothing. Only a process
that sets this very limit itself drops the mark, and then carries none.

    bit 62: it is a mark    61 to 32: the family    31 to 0: the launch, at random

The family is the keeper's and stays with its lock file, so that a keeper knows
what its predecessor left behind when that was killed (see `claim`).

Unlike a memory of who was seen below the unit a mark has no gaps (a process
that was forked just before a kill -9 has it too), needs no polling, and costs
nothing while units run: one system call for a launch, one of 1.4 us to read it.
"""

import os
import resource
from contextlib import suppress

_FIRST = 1 << 62
_SHIFT = 32
MAX_FAMILY = (1 << 30) - 1
_LIMIT = resource.RLIMIT_RTTIME


def new_family() -> int:
    """A number from 1 up that no other keeper has, but for one chance in 500 million."""
    return _random(4) & MAX_FAMILY | 1


def new_mark(family: int) -> int:
    """A mark that no other launch has."""
    return _FIRST | (family & MAX_FAMILY) << _SHIFT | _random(4)


def family_of(mark: int) -> int:
    """The family of a mark; 0 for no mark."""
    return mark >> _SHIFT & MAX_FAMILY


def take_mark(mark: int) -> None:
    """Carry the mark from now on, as all that we start will; no mark where that cannot be."""
    with suppress(OSError, ValueError):  # a finite hard limit; a kernel that is none (gVisor)
        _, hard = resource.getrlimit(_LIMIT)
        resource.setrlimit(_LIMIT, (mark, hard))


def mark_of(pid: int) -> int:
    """The mark that a process carries, a zombie too; 0 when none, or nobody we may ask."""
    try:
        soft, _ = resource.prlimit(pid, _LIMIT)
    except (OSError, ValueError):
        return 0
    return soft if soft >= _FIRST else 0


def _random(size: int) -> int:
    return int.from_bytes(os.urandom(size), "big")
