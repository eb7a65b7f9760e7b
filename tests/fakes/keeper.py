"""A real keeper process for tests, and a small daemon that speaks to it. Waits have limits."""

import array
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.command import keeper_command
from atoll_supervisor.keeper.mark import mark_of
from atoll_supervisor.keeper.packets import MAX_PACKET, decode_state, encode
from atoll_supervisor.keeper.proc import all_pids, children_of, stat_of

CHILD = str(Path(__file__).with_name("child.py"))
LIMIT = 30.0


class KeeperProcess:
    """`python … keeper SOCKET LOG` as the daemon would start it."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.path = folder / "keeper.sock"
        self.log = folder / "keeper.log"
        self.process = subprocess.Popen(
            keeper_command(self.path, self.log),
            env={} if env is None else env,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self) -> socket.socket:
        """A connection that has said nothing yet."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(LIMIT)
        wait_until(lambda: _connected(sock, self.path) or self.process.poll() is not None)
        return sock

    def wait(self, limit: float = LIMIT) -> int:
        return self.process.wait(limit)

    def end(self) -> None:
        """Whatever the test did, nothing of it stays."""
        marks = {mark for pid in children_of(self.pid) if (mark := mark_of(pid))}
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        for pid in all_pids():
            if mark_of(pid) in marks:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class FakeDaemon:
    """Sends commands and remembers the newest of every state."""

    def __init__(self, keeper: KeeperProcess, hello: bool = True) -> None:
        self.keeper = keeper
        self.sock = keeper.connect()
        self.welcome: p.Welcome | None = None
        self.synced = False
        self.held: dict[str, p.Held] = {}
        self.processes: dict[tuple[str, int], p.Process] = {}
        self.template = p.Template("none")
        self.heard: list[p.State] = []
        self.passed: list[socket.socket] = []
        if hello:
            self.send(p.Hello(pid=os.getpid()))
            self.until(lambda: self.synced)

    def send(self, command: p.Command) -> None:
        self.sock.send(encode(command))

    def launch(self, unit: str, *options: str, **more: object) -> None:
        """`child.py` with options, or `argv=`; generation 1, by exec, without a socket."""
        fields: dict[str, object] = {
            "unit": unit,
            "generation": 1,
            "via": "exec",
            "argv": [sys.executable, "-S", CHILD, *options],
            "env": {"PATH": os.environ["PATH"]},
            "cwd": str(self.keeper.folder),
            "log": str(self.keeper.folder / f"{unit}.log"),
            "listen": False,
        }
        self.send(p.Launch(**(fields | more)))

    def shell(self, unit: str, script: str, **more: object) -> None:
        self.launch(unit, argv=["/bin/sh", "-c", script], **more)

    def started(self, unit: str, generation: int = 1) -> p.Process:
        return self.process(unit, "starting", "serving", generation=generation)

    def serving(self, unit: str, generation: int = 1) -> p.Process:
        return self.process(unit, "serving", generation=generation)

    def gone(self, unit: str, generation: int = 1) -> p.Process:
        return self.process(unit, "gone", generation=generation)

    def process(self, unit: str, *stages: str, generation: int = 1) -> p.Process:
        """Wait until it is in one of these stages."""

        def found() -> bool:
            seen = self.processes.get((unit, generation))
            return seen is not None and seen.stage in stages

        try:
            self.until(found)
        except TimeoutError:
            state = self.processes.get((unit, generation))
            raise TimeoutError(f"{unit} is not {stages} but {state}") from None
        return self.processes[unit, generation]

    def listen(self, unit: str, port: int = 0, host: str = "127.0.0.1") -> p.Held:
        """Have a socket held and wait for what came of it."""
        self.held.pop(unit, None)
        self.send(p.Listen(unit, host, port))
        self.until(lambda: unit in self.held)
        return self.held[unit]

    def until(self, true: Callable[[], object], limit: float = LIMIT) -> None:
        """Take in states until something is true; raises TimeoutError."""
        end = time.monotonic() + limit
        while not true():
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], min(left, 0.1))[0]:
                if left <= 0:
                    raise TimeoutError(f"did not happen in {limit} s; heard {self.heard[-5:]}")
                continue
            self.take()

    def take(self) -> p.State:
        """One state."""
        data, ancillary, _, _ = self.sock.recvmsg(MAX_PACKET, socket.CMSG_SPACE(4))
        if not data:
            raise ConnectionResetError("the keeper closed the connection")
        for _, _, fds in ancillary:
            self.passed += [socket.socket(fileno=fd) for fd in array.array("i", fds)]
        state = decode_state(data)
        self._remember(state)
        return state

    def _remember(self, state: p.State) -> None:
        self.heard.append(state)
        match state:
            case p.Welcome():
                self.welcome = state
            case p.Held():
                self.held[state.unit] = state
            case p.Process():
                self.processes[state.unit, state.generation] = state
            case p.Template():
                self.template = state
            case p.Synced():
                self.synced = True

    def lines(self, unit: str) -> list[str]:
        """The text of each line in the unit's log, without time and stream."""
        path = self.keeper.folder / f"{unit}.log"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [line.split(" ", 2)[2] for line in lines]

    def close(self) -> None:
        for sock in (self.sock, *self.passed):
            sock.close()


def _connected(sock: socket.socket, path: Path) -> bool:
    try:
        sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
        return False
    return True


def wait_until(true: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait for something that sends no states."""
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"did not happen in {limit} s")
        time.sleep(0.01)


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that its parent has not buried yet."""
    stat = stat_of(pid)
    return stat is None or stat.state in "ZX"


def marked(mark: int) -> list[int]:
    """Every living process on the machine that carries this mark."""
    return [pid for pid in all_pids() if mark and mark_of(pid) == mark and not is_dead(pid)]


def marks_below(pid: int) -> set[int]:
    """The marks of the children of a process."""
    return {mark for child in children_of(pid) if (mark := mark_of(child))}
