"""Whole process trees: everything a unit starts goes away with it, without root or cgroups.

How nothing is lost (supervision.md 3.6 and 5.8):

1. Every unit leads a session of its own, so its process group can be signalled
   as one for as long as the unit's own process has not been reaped: until then
   the kernel gives its number to nobody else.
2. The daemon is a child subreaper (prctl(2)): whatever a dead process leaves
   behind becomes a direct child of the daemon, however it was forked. Such a
   child that no launcher knows is a *stray*.
3. A stray belongs to the unit whose session it is in, or whose instance its
   environment names (`ATOLL_INSTANCE`, set by the launcher, inherited by all).

A process is only ever signalled through a pidfd that was checked after it was
opened, or as a group whose number is still reserved: a re-used pid is safe
(faults.md row 11).
"""

import ctypes
import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from atoll_supervisor.shell.proc import INSTANCE, children_of, has_mark, stat_of

PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 64
"""How deep a tree is followed; deeper levels come up as strays of the next sweep."""


class Held(NamedTuple):
    """A process that cannot turn into another one: its pid and an open pidfd."""

    pid: int
    fd: int


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


def kill_strays(known: Collection[int], leader: int = 0, instance: str = "") -> list[Held]:
    """SIGKILL the strays of one unit, or without a unit all of them, with all below them.

    Returns what was killed; the caller waits for the pidfds and closes them.
    """
    killed: list[Held] = []
    for pid in strays(known):
        if (leader or instance) and not _belongs(pid, leader, instance):
            continue
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


def _belongs(pid: int, leader: int, instance: str) -> bool:
    stat = stat_of(pid)
    in_session = stat is not None and stat.session == leader
    return in_session or has_mark(pid, INSTANCE, instance)


def _reap(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return False
