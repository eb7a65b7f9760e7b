"""Making a process by fork and exec: what it runs, what it holds, what it sees.

The child arranges itself in Python between fork and exec, which is safe here
and only here: the keeper has one thread, and little to copy. Before it becomes
the program it waits at a *gate*, a socket on which we let it go once it is in
its cage, and on which it tells why it could not become the program; the gate
closes by itself when it did.

What a process holds is `Program.targets` (number -> our descriptor) and
/dev/null as 0, and nothing else. Units hold pipes as 1 and 2, the listening
socket as 3 (systemd's first passed descriptor, sd_listen_fds(3)) and the channel
as 4.
"""

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import NamedTuple, NoReturn

from atoll_supervisor.keeper.kernel import (
    be_first_without_memory,
    die_with_parent,
    limit_descriptors,
)
from atoll_supervisor.keeper.mark import take_mark
from atoll_supervisor.keeper.proc import INSTANCE
from atoll_supervisor.keeper.protocol import Launch
from atoll_supervisor.keeper.tree import Pinned

LISTEN_FD = 3
CHANNEL_FD = 4
_ABOVE = 10
"""Descriptors are copied up here first, so that no source is also a target."""
_GO = b"go"
_MOST_SAID = 500
_SIGNALS = [n for n in signal.valid_signals() if n not in (signal.SIGKILL, signal.SIGSTOP)]


class Program(NamedTuple):
    """What to run. `argv[0]` is looked up in `env`'s PATH, or in `cwd` if it has a slash.

    `descriptors` is the soft limit of open descriptors that it gets.
    """

    argv: list[str]
    env: Mapping[str, str]
    cwd: str
    targets: Mapping[int, int]
    mark: int
    descriptors: int


class Gate:
    """Our end of the gate of a process that has been forked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """Readable when the process became the program, could not, or died."""
        return self._sock.fileno()

    def open(self) -> None:
        """Let it go on; one that is dead already is no error."""
        try:
            self._sock.send(_GO)
        except OSError:
            return

    def fault(self) -> str:
        """Why it could not become the program, or "" (so far)."""
        try:
            return self._sock.recv(_MOST_SAID).decode(errors="replace")
        except OSError:
            return ""

    def close(self) -> None:
        """Ask no more."""
        self._sock.close()


class Started(NamedTuple):
    """A process at its gate."""

    pinned: Pinned
    gate: Gate


def start(program: Program) -> Started:
    """Fork; raises OSError when that is impossible, and then leaves nothing behind."""
    keeper = os.getpid()
    with ExitStack() as undo:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(ours.close)
        with theirs:
            pid = os.fork()
            if pid == 0:
                _become(program, theirs, keeper)
        pinned = _pin(pid)
        ours.setblocking(False)
        undo.pop_all()
    return Started(pinned, Gate(ours))


def launch_environment(order: Launch, instance: str) -> dict[str, str]:
    """The unit's environment and the keeper's protocol on top of it."""
    passed = {"LISTEN_FDS": "1"} if order.listen else {}
    return (
        order.env
        | passed
        | {
            "ATOLL_SUPERVISED": "1",
            "ATOLL_CHANNEL_FD": str(CHANNEL_FD),
            "ATOLL_UNIT": order.unit,
            "ATOLL_GENERATION": str(order.generation),
            INSTANCE: instance,
        }
    )


def _pin(pid: int) -> Pinned:
    """A pidfd of our fresh child; nobody else reaps it, so the number is surely its own."""
    try:
        return Pinned(pid, os.pidfd_open(pid))
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _become(program: Program, gate: socket.socket, keeper: int) -> NoReturn:
    """In the child: never returns into the keeper's loop, whatever happens."""
    told = gate.fileno()
    try:
        signal.set_wakeup_fd(-1)
        told = fcntl(told, F_DUPFD_CLOEXEC, _ABOVE)
        os.setsid()
        die_with_parent(signal.SIGKILL)
        take_mark(program.mark)
        if os.getppid() == keeper and gate.recv(len(_GO)) == _GO:
            _arrange(program, told)
            os.execvpe(program.argv[0], program.argv, program.env)  # noqa: S606  no shell
    except (OSError, ValueError, IndexError) as error:
        os.write(told, _sentence(program, error).encode(errors="replace")[:_MOST_SAID])
    finally:
        os._exit(127)


def _arrange(program: Program, told: int) -> None:
    """Put the descriptors in their places, and take signals and limits as a fresh process does."""
    high = {number: fcntl(fd, F_DUPFD_CLOEXEC, _ABOVE) for number, fd in program.targets.items()}
    os.closerange(0, _ABOVE)
    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    for number, fd in high.items():
        os.dup2(fd, number)
    os.closerange(_ABOVE, told)
    os.closerange(told + 1, os.sysconf("SC_OPEN_MAX"))
    limit_descriptors(program.descriptors)
    be_first_without_memory()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(program.cwd)


def _sentence(program: Program, error: Exception) -> str:
    """What went wrong, for people; a missing folder is told from a missing program."""
    why = error.strerror if isinstance(error, OSError) else str(error)
    if not os.path.isdir(program.cwd):  # noqa: PTH112  pathlib is not for a process half made
        return f"cannot start in {program.cwd}: {why}"
    return f"cannot start {program.argv[0] if program.argv else 'nothing'}: {why}"
