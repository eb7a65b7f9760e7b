"""System calls of a living process that fail or kill it: strace -e inject (strace(1))."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atoll_supervisor.keeper.proc import stat_of
from tests.fakes.daemon import eventually

STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="wants the package strace")


class Injected:
    """What strace did so far."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def count(self) -> int:
        """How many calls failed."""
        return self._log.read_text().count("(INJECTED)")


class Made:
    """Which system calls were made, as far as strace has written them down."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def counts(self) -> dict[str, int]:
        """How often each call was begun by the thread that did so most often."""
        begun = re.findall(r"^(\d+) +(\w+)\(", self._log.read_text(), re.MULTILINE)
        most: dict[str, int] = {}
        for (_, call), count in Counter(begun).items():
            most[call] = max(count, most.get(call, 0))
        return dict(sorted(most.items()))


@contextmanager
def failing(pid: int, log: Path, call: str, error: str, when: str = "1+") -> Iterator[Injected]:
    """While inside, `call` of the process fails with `error`: each time, or `when` says which.

    Counted in each thread by itself. `call` is a set of strace's, such as `fsync,fdatasync`.
    """
    with _attached(pid, log, f"trace={call}", f"inject={call}:error={error}:when={when}"):
        yield Injected(log)


@contextmanager
def killing(pid: int, log: Path, call: str, nth: int) -> Iterator[None]:
    """The process dies by SIGKILL when one of its threads begins `call` for the `nth` time."""
    with _attached(pid, log, f"trace={call}", f"inject={call}:signal=KILL:when={nth}"):
        yield


@contextmanager
def recording(pid: int, log: Path) -> Iterator[Made]:
    """Write down what it calls while inside."""
    with _attached(pid, log, "trace=all"):
        yield Made(log)


@contextmanager
def _attached(pid: int, log: Path, *wishes: str) -> Iterator[None]:
    log.write_text("")
    options = [word for wish in ("signal=none", *wishes) for word in ("-e", wish)]
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", log, "-p", str(pid), *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: tracer.poll() is not None or _is_traced(pid, tracer.pid))
        assert tracer.poll() is None or not _lives(pid), tracer.communicate()[1]
        yield
    finally:
        _end(tracer)


def _end(tracer: subprocess.Popen[bytes]) -> None:
    """Let go of all that is traced; the kernel does it for one that hangs over a dying process."""
    tracer.terminate()
    try:
        tracer.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.communicate(timeout=20)


def _is_traced(pid: int, tracer: int) -> bool:
    """Whether every thread is; one that it has killed already may be gone."""
    try:
        threads = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return not _lives(pid)
    return all(f"TracerPid:\t{tracer}\n" in thread for thread in threads)


def _lives(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is not None and stat.state not in "ZX"
