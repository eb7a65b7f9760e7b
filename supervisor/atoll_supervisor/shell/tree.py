"""Whole process trees: everything a unit starts goes away with it, without root or cgroups.

How nothing is lost (supervision.md 3.6 and 5.8):

1. Every unit leads a session of its own, so its process group can be signalled
   as one for as long as the unit's own process has not been reaped: until then
   the kernel gives its number to nobody else.
2. The daemon is a child subreaper (prctl(2)): whatever a dead process leaves
   behind becomes a direct child of the daemon, however it was forked. Such a
   child that no launcher knows is a *stray*.
3. A stray belongs to the unit whose mark it carries (see `mark`): what it did
   to its session and its environment does not matter. For a process that dropped
   its mark, the unit's session and the instance in its environment
   (`ATOLL_INSTANCE`) count as well. Only one that lost all three stays until the
   daemon stops.

A process is only ever signalled through a pidfd that was checked after it was
opened, or as a group whose number is still reserved: a re-used pid is safe
(faults.md row 11).
"""

import ctypes
import os
import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from atoll_supervisor.shell.mark import mark_of
from atoll_supervisor.shell.proc import INSTANCE, children_of, has_variable, stat_of

PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 64
"""How deep a tree is followed; deeper levels come up as strays of the next sweep."""


class Held(NamedTuple):
    """A process that cannot turn into another one: its pid and an open pidfd."""

    pid: int
    fd: int


class Ties(NamedTuple):
    """What tells that a process belongs to one launch of a unit."""

    session: int
    instance: str
    mark: int


def become_subreaper() -> None:
    """Let orphans of this process's descendants become its children; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "prctl(PR_SET_CHILD_SUBREAPER)")


def kill_group(leader: int) -> None:
    """SIGKILL a unit's process group; its leader must not have been reaped yet.

    The daemon's own group is never hit: a leader that is not the leader of a
    group other than ours is left alone (airflow PR 65738).
    """
    try:
        if leader == os.getpgrp() or os.getpgid(leader) != leader:
            return
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def kill_descendants(pid: int) -> None:
    """SIGKILL every process below `pid`, whatever session it moved to, but not `pid` itself."""
    for held in list(_below(pid)):
        send(held, signal.SIGKILL)
        os.close(held.fd)


def kill_strays(known: Collection[int], ties: Ties | None = None) -> list[Held]:
    """SIGKILL the strays of one launch, or without ties all of them, with all below them.

    Returns what was killed; the caller waits for the pidfds and closes them.
    """
    return _kill(pid for pid in strays(known) if ties is None or _belongs(pid, ties))


def kill_unowned(known: Collection[int], marks: Collection[int]) -> list[Held]:
    """SIGKILL the strays whose mark is none of `marks`, those of the living units.

    A stray without a mark is left alone, since it may be a living unit's or (in
    a container whose first process is the daemon) nobody's. Returns as `kill_strays`.
    """
    return _kill(pid for pid in strays(known) if (mark := mark_of(pid)) and mark not in marks)


def _kill(children: Iterable[int]) -> list[Held]:
    """Our children cannot be anybody else while they are chosen: only we bury them."""
    killed: list[Held] = []
    for pid in children:
        if (held := _hold(pid, os.getpid())) is not None:
            killed += [held, *_below(pid)]
    for held in killed:
        send(held, signal.SIGKILL)
    return killed


def strays(known: Collection[int]) -> list[int]:
    """Our children that nobody launched: orphans of units that re-parented to us.

    `known` are the processes of living units. Helpers that the daemon itself
    runs stay in the daemon's session, which no descendant of a unit can enter.
    """
    own = os.getsid(0)
    found = children_of(os.getpid()).difference(known)
    return sorted(pid for pid in found if (stat := stat_of(pid)) and stat.session != own)


def reap_orphans(known: Collection[int]) -> int:
    """Bury the strays that have ended and say how many; statuses of `known` stay untouched."""
    return sum(_reap(pid) for pid in strays(known))


def reap_held(held: Held) -> None:
    """Bury one ended process, if it is our child by now, and close its pidfd."""
    with suppress(ChildProcessError):  # its parent is still dying: the next reap_orphans has it
        os.waitid(os.P_PIDFD, held.fd, os.WEXITED | os.WNOHANG)
    os.close(held.fd)


def send(held: Held, number: signal.Signals) -> None:
    """Signal exactly this process; one that has ended is no error."""
    try:
        signal.pidfd_send_signal(held.fd, number)
    except (ProcessLookupError, PermissionError):
        return


def _below(root: int) -> Iterator[Held]:
    """Hold every descendant, level by level."""
    level = [root]
    for _ in range(_ROUNDS):
        held = [h for pid in level for child in children_of(pid) if (h := _hold(child, pid))]
        yield from held
        level = [one.pid for one in held]
        if not level:
            return


def _hold(pid: int, parent: int) -> Held | None:
    """Open a pidfd and then make sure that it is still the child of `parent`."""
    try:
        held = Held(pid, os.pidfd_open(pid))
    except OSError:
        return None
    stat = stat_of(pid)
    if stat is not None and stat.parent == parent:
        return held
    os.close(held.fd)
    return None


def _belongs(pid: int, ties: Ties) -> bool:
    stat = stat_of(pid)
    in_session = stat is not None and stat.session == ties.session
    return in_session or mark_of(pid) == ties.mark or has_variable(pid, INSTANCE, ties.instance)


def _reap(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return False
