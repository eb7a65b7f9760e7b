"""Making a process: what it runs, what it holds, what it sees.

`posix_spawn` with file actions. It is the one way of the standard library that
puts a socket at a chosen number (3, systemd's first passed descriptor,
sd_listen_fds(3)), starts a session, and runs no Python code between fork and
exec. `subprocess` can do the first only through a `preexec_fn`, which is unsafe
beside threads and copies our page tables: it blocks the loop for 3.6 ms where
posix_spawn takes 0.15 ms. What posix_spawn lacks is a working directory, so the
program is started through `/bin/sh`, which changes into it and then becomes the
program under the same pid; that costs 0.5 ms, a Python shim 7 ms.

A child holds little: 0 is /dev/null, 1 and 2 are pipes to its unit's Pump, 3
is the held listening socket if it has one, 4 the ready pipe (`ATOLL_READY_FD`):
it writes `READY=1` and a newline when it serves. LISTEN_PID cannot be known
before the fork; `ATOLL_SUPERVISED=1` tells the child to do without.
"""

import ctypes
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path

from msgspec import Struct

from atoll_supervisor.shell.mark import marking
from atoll_supervisor.shell.proc import INSTANCE
from atoll_supervisor.shell.tree import Held

LISTEN_FD = 3
READY_FD = 4
_SHELL = "/bin/sh"
_ENTER = 'cd -- "$1" && shift && exec "$@"'
_ABOVE = 10
"""Descriptors are copied up here first, so that no source is also a target."""

_DEFAULT = [n for n in signal.valid_signals() if n not in (signal.SIGKILL, signal.SIGSTOP)]
_CLOSE_RANGE_CLOEXEC = 4
_STANDARD = 2
"""The last of standard input, output and error."""


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """What to run. `argv[0]` is looked up in `env`'s PATH, or in `cwd` if it has a slash."""

    unit: str
    generation: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str


def start(spec: LaunchSpec, env: Mapping[str, str], targets: Mapping[int, int], mark: int) -> Held:
    """Start the program with exactly /dev/null and `targets` (number -> our descriptor)."""
    program = _find(spec)
    cwd = str(Path(spec.cwd).absolute())
    seal()
    with ExitStack() as stack:
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        for target, fd in targets.items():
            high = fcntl(fd, F_DUPFD_CLOEXEC, _ABOVE)
            stack.callback(os.close, high)
            actions.append((os.POSIX_SPAWN_DUP2, high, target))
        with marking(mark):
            pid = os.posix_spawn(
                _SHELL,
                ["sh", "-c", _ENTER, "sh", cwd, program, *spec.argv[1:]],
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT,
            )
    return _hold(pid)


def _hold(pid: int) -> Held:
    """A pidfd of our fresh child; nobody else reaps it, so the number is surely its own."""
    try:
        return Held(pid, os.pidfd_open(pid))
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _find(spec: LaunchSpec) -> str:
    """The program's absolute path; raises OSError here, where it can still be told apart."""
    cwd = Path(spec.cwd)
    if not cwd.is_dir():
        raise NotADirectoryError(20, "Not a directory", spec.cwd)
    name = spec.argv[0]
    name = str(cwd.absolute() / name) if "/" in name else name
    found = shutil.which(name, path=spec.env.get("PATH", os.defpath))
    if found is None:
        raise FileNotFoundError(2, "No such program, or it is not executable", name)
    return str(Path(found).absolute())


def launch_environment(spec: LaunchSpec, instance: str, listening: bool) -> dict[str, str]:
    """The unit's environment and the daemon's protocol on top of it."""
    passed = {"LISTEN_FDS": "1"} if listening else {}
    return (
        dict(spec.env)
        | passed
        | {
            "ATOLL_SUPERVISED": "1",
            "ATOLL_READY_FD": str(READY_FD),
            "ATOLL_UNIT": spec.unit,
            "ATOLL_GENERATION": str(spec.generation),
            INSTANCE: instance,
        }
    )


def seal() -> None:
    """Make every descriptor of ours but 0 to 2 close at exec.

    Python's own do so anyway (PEP 446); those inherited from whoever started
    the daemon, or made inheritable by a library, do not (system.md section 1).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        failed = libc.close_range(3, ctypes.c_uint(0xFFFFFFFF), _CLOSE_RANGE_CLOEXEC) != 0
    except AttributeError:  # glibc before 2.34
        failed = True
    if failed:
        _seal_each()


def _seal_each() -> None:
    numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    for fd in numbers:
        with suppress(OSError):  # the descriptor of the listing itself
            os.set_inheritable(fd, fd <= _STANDARD)
