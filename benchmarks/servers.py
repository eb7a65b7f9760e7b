"""Servers under measurement: started on a core of their own, and ended afterwards."""

import os
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from atoll.http.sockets import bind

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0
"""Seconds for a server's start, and for its end."""


class DidNotStart(Exception):
    """A server was not there in time, or has ended; says which."""


def cores() -> list[int]:
    """The cores that this run may use, whatever this process is bound to by now."""
    return sorted(os.sched_getaffinity(os.getppid()))


def free_ports(count: int) -> list[int]:
    """So many different ports that are free at this moment."""
    with ExitStack() as stack:
        socks = [stack.enter_context(bind("127.0.0.1", 0)) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    core: int,
    patience: float = PATIENCE,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Generator[None]:
    """A server on one core, from when it accepts connections; raises DidNotStart.

    What it says on its standard output is thrown away, its errors are shown.
    """
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=cwd, env=environ, stdin=nothing, stdout=nothing)
    try:
        os.sched_setaffinity(process.pid, {core})
        _until_accepting(process, command, port, patience)
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()
        process.wait()


def _until_accepting(
    process: subprocess.Popen[bytes], command: Sequence[str], port: int, patience: float
) -> None:
    until = time.monotonic() + patience
    while not _accepts(port):
        if process.poll() is not None:
            raise DidNotStart(f"{' '.join(command)}: ended with {process.returncode}")
        if time.monotonic() > until:
            raise DidNotStart(f"{' '.join(command)}: not there within {patience:g} s")
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
