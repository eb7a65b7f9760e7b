"""A mark that every process of a unit carries and none loses by accident: a resource limit.

Limits pass through fork and exec (getrlimit(2)): a new session, a double fork
and an emptied environment, which between them lose every other tie, leave them
as they are. The limit is the soft RLIMIT_RTTIME, the microseconds that a
process may run under real-time scheduling without a pause. A mark is a random
number from 2**62 up: more than 146,000 years, so it limits nothing. Only a
process that sets this very limit itself drops the mark, and then carries none.

Unlike a memory of who was seen below the unit it has no gaps (a process that was
forked just before a kill -9 has it too), needs no polling, and costs nothing
while units run: 2 system calls for a launch, one of 1.4 us to read it.
"""

import resource
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress

_FIRST = 1 << 62
_LIMIT = resource.RLIMIT_RTTIME


def new_mark() -> int:
    """A mark that no other launch has, not even one of another daemon above or below us."""
    return _FIRST + secrets.randbits(62)


@contextmanager
def marking(mark: int) -> Generator[None]:
    """Processes that are started inside carry the mark.

    The mark is ours for that time, so that the child has it from its first
    moment. Where the limit cannot be so high, children carry no mark.
    """
    soft, hard = resource.getrlimit(_LIMIT)
    with suppress(OSError, ValueError):  # a finite hard limit; a kernel that is none (gVisor)
        resource.setrlimit(_LIMIT, (mark, hard))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(_LIMIT, (soft, hard))


def mark_of(pid: int) -> int:
    """The mark that a process carries, a zombie too; 0 when none, or nobody we may ask."""
    try:
        soft, _ = resource.prlimit(pid, _LIMIT)
    except (OSError, ValueError):
        return 0
    return soft if soft >= _FIRST else 0
