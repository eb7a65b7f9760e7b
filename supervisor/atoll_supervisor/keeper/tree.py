"""Whole process trees: everything a unit starts goes away with it, without root or cgroups.

How nothing is lost (supervision.md 3.6 and 5.8):

1. Every unit leads a session of its own, so its process group can be signalled
   as one for as long as the unit's own process has not been reaped: until then
   the kernel gives its number to nobody else.
2. The keeper is a child subreaper (prctl(2)): whatever a dead process leaves
   behind becomes a direct child of the keeper, however it was forked. Such a
   child that is no unit's own process is a *stray*.
3. A stray belongs to the unit whose mark it carries (see `mark`): what it did
   to its session and its environment does not matter. For a process that dropped
   its mark, the unit's session and the instance in its environment
   (`ATOLL_INSTANCE`) count as well. Only one that lost all three stays until the
   keeper leaves.

A process is only ever signalled through a pidfd that was checked after it was
opened, or as a group whose number is still reserved: a re-used pid is safe
(faults.md row 11).
"""

import os
import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from atoll_supervisor.keeper.mark import family_of, mark_of
from atoll_supervisor.keeper.proc import INSTANCE, all_pids, children_of, has_variable, stat_of

_ROUNDS = 64
"""How deep a tree is followed; deeper levels come up as strays of the next sweep."""


class Pinned(NamedTuple):
    """A process that cannot turn into another one: its pid and an open pidfd."""

    pid: int
    fd: int


class Ties(NamedTuple):
    """What tells that a process belongs to one launch; `instance` may be "" for none."""

    session: int
    instance: str
    mark: int


def kill_group(leader: int) -> None:
    """SIGKILL a unit's process group; its leader must not have been reaped yet.

    The keeper's own group is never hit: a leader that is not the leader of a
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
    for pinned in list(_below(pid)):
        send(pinned, signal.SIGKILL)
        os.close(pinned.fd)


def kill_strays(known: Collection[int], ties: Ties | None = None) -> list[Pinned]:
    """SIGKILL the strays of one launch, or without ties all of them, with all below them.

    Returns what was killed; the caller waits for the pidfds and closes them.
    """
    return _kill(pid for pid in strays(known) if ties is None or _belongs(pid, ties))


def kill_unowned(known: Collection[int], marks: Collection[int]) -> list[Pinned]:
    """SIGKILL the strays whose mark is none of `marks`, those of the living units.

    A stray without a mark is left alone, since it may be a living unit's or (in
    a container whose first process is the keeper) nobody's. Returns as `kill_strays`.
    """
    return _kill(pid for pid in strays(known) if (mark := mark_of(pid)) and mark not in marks)


def kill_family(family: int) -> int:
    """SIGKILL every process on the machine that carries a mark of this family; says how many.

    For what a keeper left that was itself killed; the caller makes sure that no
    keeper of the family lives.
    """
    found = [pinned for pid in all_pids() if (pinned := _pin_family(pid, family))]
    for pinned in found:
        send(pinned, signal.SIGKILL)
        os.close(pinned.fd)
    return len(found)


def _kill(children: Iterable[int]) -> list[Pinned]:
    """Our children cannot be anybody else while they are chosen: only we bury them."""
    killed: list[Pinned] = []
    for pid in children:
        if (pinned := pin(pid, os.getpid())) is not None:
            killed += [pinned, *_below(pid)]
    for pinned in killed:
        send(pinned, signal.SIGKILL)
    return killed


def strays(known: Collection[int]) -> list[int]:
    """Our children that nobody launched: orphans of units that re-parented to us.

    `known` are the processes of living units. What is in the keeper's own
    session is none, because no descendant of a unit can enter that.
    """
    own = os.getsid(0)
    found = children_of(os.getpid()).difference(known)
    return sorted(pid for pid in found if (stat := stat_of(pid)) and stat.session != own)


def reap_orphans(known: Collection[int], spared: Collection[int] = ()) -> int:
    """Bury the strays that have ended and say how many.

    The statuses of `known` stay untouched, and of those that carry a mark in `spared`.
    """
    ended = (pid for pid in strays(known) if not spared or mark_of(pid) not in spared)
    return sum(_reap(pid) for pid in ended)


def reap_pinned(pinned: Pinned) -> None:
    """Bury one ended process, if it is our child by now, and close its pidfd."""
    with suppress(ChildProcessError):  # its parent is still dying: the next reap_orphans has it
        os.waitid(os.P_PIDFD, pinned.fd, os.WEXITED | os.WNOHANG)
    os.close(pinned.fd)


def send(pinned: Pinned, number: signal.Signals) -> None:
    """Signal exactly this process; one that has ended is no error."""
    try:
        signal.pidfd_send_signal(pinned.fd, number)
    except (ProcessLookupError, PermissionError):
        return


def _below(root: int) -> Iterator[Pinned]:
    """Hold every descendant, level by level."""
    level = [root]
    for _ in range(_ROUNDS):
        pinned = [h for pid in level for child in children_of(pid) if (h := pin(child, pid))]
        yield from pinned
        level = [one.pid for one in pinned]
        if not level:
            return


def pin(pid: int, parent: int) -> Pinned | None:
    """Open a pidfd and then make sure that it is still the child of `parent`."""
    try:
        pinned = Pinned(pid, os.pidfd_open(pid))
    except OSError:
        return None
    stat = stat_of(pid)
    if stat is not None and stat.parent == parent:
        return pinned
    os.close(pinned.fd)
    return None


def _pin_family(pid: int, family: int) -> Pinned | None:
    """Open a pidfd and then make sure that it is still of the family."""
    stat = stat_of(pid) if family_of(mark_of(pid)) == family else None
    if stat is None or stat.state in "ZX":
        return None
    try:
        pinned = Pinned(pid, os.pidfd_open(pid))
    except OSError:
        return None
    if family_of(mark_of(pid)) == family:
        return pinned
    os.close(pinned.fd)
    return None


def _belongs(pid: int, ties: Ties) -> bool:
    stat = stat_of(pid)
    in_session = stat is not None and stat.session == ties.session
    if in_session or mark_of(pid) == ties.mark:
        return True
    return bool(ties.instance) and has_variable(pid, INSTANCE, ties.instance)


def _reap(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return False
