"""Starting processes and hearing how they end: no polling, no signal handlers, no threads.

An end is heard by a pidfd that becomes readable, and waitid on it for the true
status. Before the dead process gives its number back, its group is killed; then
whatever else it left behind (see `tree`). `Exited` comes when all of it is
gone, or after `BURIAL_LIMIT` if something cannot die.
"""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from msgspec import Struct

from atoll_supervisor.shell import tree
from atoll_supervisor.shell.mark import new_mark
from atoll_supervisor.shell.output import Pump
from atoll_supervisor.shell.proc import INSTANCE
from atoll_supervisor.shell.start import LISTEN_FD, READY_FD, LaunchSpec, launch_environment, start

__all__ = ["Child", "Exited", "LaunchSpec", "Launcher", "Notice", "Notify", "Ready", "signal_name"]

READY = b"READY=1"
BURIAL_LIMIT = 1.0
"""Seconds that an exit is held back for what the process left behind."""

_MOST_READY = 256


class Ready(Struct, frozen=True):
    """The process said on its own channel that it serves."""

    unit: str
    generation: int


class Exited(Struct, frozen=True):
    """The process and all it started are gone: an exit code, or the signal that killed it."""

    unit: str
    generation: int
    code: int | None
    signal: str | None


Notice = Ready | Exited
Notify = Callable[[Notice], None]


class Launcher:
    """Starts children and knows the living ones. One per process, used on its loop's thread."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        tree.become_subreaper()

    @property
    def pids(self) -> frozenset[int]:
        """The units' processes that have not been reaped."""
        return frozenset(self._children)

    def launch(
        self, spec: LaunchSpec, listen: socket.socket | None, output: Pump, notify: Notify
    ) -> "Child":
        """Start a process; raises OSError when that is impossible, and then leaves nothing behind.

        `notify` is called on the loop, never from within this call: at most one
        Ready, then exactly one Exited.
        """
        instance = spec.env.get(INSTANCE) or secrets.token_hex(16)
        with ExitStack() as ours, ExitStack() as theirs:
            ready, ready_end = _pipe(ours, theirs)
            out, out_end = _pipe(ours, theirs)
            err, err_end = _pipe(ours, theirs)
            targets = {1: out_end, 2: err_end, READY_FD: ready_end}
            if listen is not None:
                targets[LISTEN_FD] = listen.fileno()
            mark = new_mark()
            env = launch_environment(spec, instance, listen is not None)
            held = start(spec, env, targets, mark)
            ours.pop_all()
        output.attach(out, err)
        ties = tree.Ties(held.pid, instance, mark)
        child = Child(self, spec, held, ties, ready, output, notify)
        self._children[held.pid] = child
        return child

    def forget(self, pid: int) -> None:
        """Called by a child whose process has been reaped."""
        self._children.pop(pid, None)

    def reap_orphans(self) -> int:
        """Bury ended orphans of units, to be called now and then; says how many they were."""
        return tree.reap_orphans(self.pids)

    def kill_unowned(self) -> int:
        """SIGKILL orphans of units that have ended, to be called now and then; says how many.

        They are few: what came up when a burial had run into its limit. With 100
        units of 3 processes a call takes 0.06 ms, on a kernel without
        CONFIG_PROC_CHILDREN 0.02 ms for each process of the machine.
        """
        marks = {child.ties.mark for child in self._children.values()}
        return _let_go(tree.kill_unowned(self.pids, marks))

    def kill_strays(self) -> int:
        """At the very end: SIGKILL every orphan of every unit; says how many they were."""
        return _let_go(tree.kill_strays(self.pids))


class Child:
    """One process of a unit."""

    def __init__(
        self,
        launcher: Launcher,
        spec: LaunchSpec,
        held: tree.Held,
        ties: tree.Ties,
        ready: int,
        output: Pump,
        notify: Notify,
    ) -> None:
        self.spec = spec
        self.pid = held.pid
        self.ties = ties
        self.instance = ties.instance
        self.alive = True
        self._launcher = launcher
        self._held = held
        self._output = output
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._ready = _ReadyPipe(self._loop, ready, self._say_ready)
        self._loop.add_reader(held.fd, self._ended)

    def terminate(self) -> None:
        """Ask it to stop: SIGTERM, and SIGCONT so that a stopped process can obey."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)

    def kill_tree(self) -> None:
        """SIGKILL it and everything it started; Exited follows."""
        if self.alive:
            self.send(signal.SIGSTOP)  # it must not fork while we look at its children
            tree.kill_descendants(self.pid)
            self.send(signal.SIGKILL)
            tree.kill_group(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Signal exactly this process, or nobody when it has ended."""
        if self.alive:
            tree.send(self._held, number)

    def _say_ready(self) -> None:
        self._notify(Ready(self.spec.unit, self.spec.generation))

    def _ended(self) -> None:
        """The pidfd is readable: the process is a zombie that still owns its number."""
        self.alive = False
        self._loop.remove_reader(self._held.fd)
        tree.kill_group(self.pid)
        status = _status(self.spec, self._held.fd)
        os.close(self._held.fd)
        self._launcher.forget(self.pid)
        _Burial(self._loop, self._sweep, partial(self._announce, status)).look()

    def _sweep(self) -> list[tree.Held]:
        return tree.kill_strays(self._launcher.pids, self.ties)

    def _announce(self, status: Exited) -> None:
        self._ready.finish()
        self._output.drain()
        self._notify(status)


class _ReadyPipe:
    """Waits for one line; the pipe is closed when it came, so nobody can flood it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, said: Callable[[], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._said = said
        self._got = b""
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._readable)

    def finish(self) -> None:
        """The process is gone: hear what it still said, and close."""
        if self._fd >= 0:
            self._readable()
        self._close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _MOST_READY)
        except BlockingIOError:
            return
        self._got += data
        said = READY in self._got.split(b"\n")[:-1]
        if said or not data or len(self._got) > _MOST_READY:
            self._close()
        if said:
            self._said()

    def _close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
        self._fd = -1


class _Burial:
    """Kills what a dead process left, waits until it is gone, and looks again until none is."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sweep: Callable[[], list[tree.Held]],
        done: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sweep = sweep
        self._done = done
        self._waiting: set[tree.Held] = set()
        self._over = False
        self._limit = loop.call_later(BURIAL_LIMIT, self._finish)

    def look(self) -> None:
        """Kill and wait for what there is, or be done at once."""
        self._waiting = set(self._sweep())
        for held in self._waiting:
            self._loop.add_reader(held.fd, self._gone, held)
        if not self._waiting:
            self._finish()

    def _gone(self, held: tree.Held) -> None:
        self._loop.remove_reader(held.fd)
        tree.reap_held(held)
        self._waiting.discard(held)
        if not self._waiting and not self._over:
            self.look()

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._limit.cancel()
            self._done()


def _status(spec: LaunchSpec, pidfd: int) -> Exited:
    """Reap the process and say how it ended."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    if result is None or result.si_code == os.CLD_EXITED:
        code = None if result is None else result.si_status
        return Exited(spec.unit, spec.generation, code, None)
    return Exited(spec.unit, spec.generation, None, signal_name(result.si_status))


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; real-time signals without a name are `SIG35`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _let_go(killed: list[tree.Held]) -> int:
    """Close the pidfds of what is buried later; says how many they were."""
    for held in killed:
        os.close(held.fd)
    return len(killed)


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """A pipe whose reading end is closed by `ours`, and whose writing end by `theirs`."""
    reader, writer = os.pipe()
    ours.callback(os.close, reader)
    theirs.callback(os.close, writer)
    return reader, writer
