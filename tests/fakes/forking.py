"""A real template process, and the part of a keeper that asks it for agents."""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
LIMIT = 30
MARK = (1 << 62) + 4711
PR_SET_CHILD_SUBREAPER = 36
LAUNCHER = """
import os, sys
number = int(sys.argv[1])
if number != 3:
    os.dup2(number, 3)
    os.close(number)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Forked(NamedTuple):
    """An agent: its pid and the keeper's ends of all that it holds."""

    pid: int
    channel: socket.socket
    err: int
    port: int

    def wait(self) -> int:
        """Its true exit status, which only a parent gets: a code, or minus a signal."""
        pidfd = os.pidfd_open(self.pid)
        try:
            assert select.select([pidfd], [], [], LIMIT)[0], "the process did not end"
        finally:
            os.close(pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def words(self) -> str:
        """All that it says on standard error until its end."""
        with open(self.err, closefd=False) as stream:
            return stream.read()


class Template:
    """One template and its agents."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self.process = process
        self.control = control
        self.hello = self.hear()
        self._ends = ExitStack()

    def hear(self) -> dict[str, object]:
        """The next packet, {} at the end."""
        packet = self.control.recv(65536)
        return json.loads(packet) if packet else {}

    def ask(self, packet: bytes, fds: list[int]) -> dict[str, object]:
        """Send anything, and hear the answer."""
        socket.send_fds(self.control, [packet], fds)
        return self.hear()

    def fork(
        self, manifest: Path, *, held: socket.socket | None = None, **changes: object
    ) -> Forked:
        """Ask for an agent, or whatever `changes` make of the request."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(LIMIT)
        reading, writing = os.pipe()
        self._ends.callback(ours.close)
        self._ends.callback(os.close, reading)
        port = held.getsockname()[1] if held else 0
        fds = [writing, writing, theirs.fileno(), *([held.fileno()] if held else [])]
        request = request_for(manifest, port, listening=held is not None) | changes
        try:
            answer = self.ask(json.dumps(request).encode(), fds)
        finally:
            theirs.close()
            os.close(writing)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        assert answer["id"] == request["id"]
        pid = int(str(answer["pid"]))
        self._ends.callback(_end, pid)
        return Forked(pid, ours, reading, port)

    def close(self) -> None:
        """End the agents, then the template."""
        self._ends.close()
        self.control.close()
        self.process.wait(LIMIT)


def request_for(manifest: Path, port: int, *, listening: bool) -> dict[str, Any]:
    """What a keeper asks for."""
    command = ["-m", "atoll", "--server", "--port", str(port), "--agent", str(manifest)]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(manifest.parent),
        "ATOLL_STATE_DIR": str(manifest.parent / "state"),
        "ATOLL_SUPERVISED": "1",
        "ATOLL_CHANNEL_FD": "4",
        "ATOLL_INSTANCE": "token",
    }
    return {
        "id": 7,
        "argv": command,
        "env": env | ({"LISTEN_FDS": "1"} if listening else {}),
        "cwd": str(manifest.parent),
        "mark": MARK,
        "name": "speaker",
        "keeper": os.getpid(),
    }


@contextmanager
def template(*passed: int) -> Iterator[Template]:
    """A template with the descriptors it should have, and the `passed` ones."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(LIMIT)
    command = [sys.executable, "-m", "atoll.template"]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(theirs.fileno()), *command],
            env={"PYTHONPATH": str(ROOT / "agent_runtime"), "PATH": os.environ["PATH"]},
            pass_fds=[theirs.fileno(), *passed],
            stdin=subprocess.DEVNULL,
        )
    with process:
        made = Template(process, ours)
        try:
            yield made
        finally:
            made.close()


def _end(pid: int) -> None:
    try:
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    except ChildProcessError:  # the test has seen its end
        pass
