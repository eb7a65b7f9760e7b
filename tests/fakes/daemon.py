"""A real daemon in a process of its own, over a folder of scripted agents."""

import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

from atoll.config.places import places_of
from atoll_supervisor.shell.keepers import end

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For httpx, which else reads every certificate of the machine for each request over http."""

SCRIPT = '[[turn]]\nchunks = ["Hello", " from ", "{name}"]\n'
AGENT = """
[agent]
name = "{name}"

[llm]
provider = "scripted"
model = "llama2"
script = "script.toml"
{more}
"""


def add_agent(agents: Path, name: str, more: str = "", folder: str = "") -> Path:
    """A folder with a scripted agent; returns its manifest."""
    place = agents / (folder or name.lower())
    place.mkdir(parents=True)
    (place / "script.toml").write_text(SCRIPT.format(name=name))
    manifest = place / "agent.toml"
    manifest.write_text(AGENT.format(name=name, more=more))
    return manifest


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that were free a moment ago.

    Below the range the kernel takes automatic ports from, and in a part of it
    that no other worker of this test run looks at.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + worker % 10 * 1_000
    bases = [first + count * n for n in range(1_000 // count)]
    random.shuffle(bases)  # another test run on this machine may look here too
    for base in bases:
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def eventually(true: Callable[[], object], limit: float = 30.0, why: str = "") -> None:
    """Wait until `true()`; fails after `limit` seconds."""
    until = time.monotonic() + limit
    while not true():
        if time.monotonic() > until:
            raise AssertionError(why or "it did not happen in time")
        time.sleep(0.02)


AnyDaemon = TypeVar("AnyDaemon", bound="Daemon")


class Daemon:
    """`python -m atoll_supervisor up` with its own ports, state and home.

    `prefix` is a program that runs it, such as one that enters a namespace; `python`
    the interpreter, of it and so of its keeper and agents.
    """

    prefix: tuple[str, ...] = ()
    python: str = sys.executable

    def __init__(
        self, folder: Path, *flags: str, agents: Path | None = None, ports: int = 20
    ) -> None:
        self.agents = agents or folder / "agents"
        self.agents.mkdir(exist_ok=True)
        self.state = folder / "state"
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.flags = flags
        self.base_port = free_ports(ports)
        self.api_port = self.base_port + ports - 1
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.log = folder / "daemon.log"
        self.out = folder / "daemon.out"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """A small environment: an empty home, no Ollama to be found by accident."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ATOLL_DEFAULT_LLM": "demo",
            "ATOLL_STATE_DIR": str(self.state),
            "ATOLL_API_PORT": str(self.api_port),
            "ATOLL_BASE_PORT": str(self.base_port),
            "ATOLL_AGENTS_DIR": str(self.agents),
            **({"ATOLL_HOST": self.flags[1]} if "--host" in self.flags else {}),
        }

    def start(
        self, *, settled: bool = True, stdout: int | None = None, stderr: int | None = None
    ) -> "Daemon":
        """Start it and wait for its start-up text (or only for its API)."""
        self.out.write_bytes(b"")
        with self.log.open("ab") as log, self.out.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.prefix, self.python, "-m", "atoll_supervisor", "up", *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=log if stderr is None else stderr,
                env=self.environment,
                cwd=self.agents.parent,
            )
        ready = self._has_said if settled else self._answers
        eventually(lambda: ready() or self._is_over(), why="the daemon did not start")
        assert not self._is_over(), self.log.read_text()
        return self

    def run(self, *arguments: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
        """Run a command line against this daemon."""
        return subprocess.run(
            [*self.prefix, self.python, "-m", "atoll_supervisor", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            cwd=self.agents.parent,
            stdin=subprocess.DEVNULL,
        )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, verify=PLAIN)

    def post(self, path: str) -> httpx.Response:
        return httpx.post(self.url + path, headers=self.token(), timeout=60, verify=PLAIN)

    def token(self) -> dict[str, str]:
        token = (self.state / "token").read_text().strip()
        return {"Authorization": f"Bearer {token}"}

    def row(self, slug: str) -> dict[str, object]:
        return self.get(f"/api/v1/agents/{slug}").raise_for_status().json()

    def wait_for(self, slug: str, **fields: object) -> dict[str, object]:
        """The agent's row once the daemon knows it and it has these values."""
        answer = self.get(f"/api/v1/agents/{slug}")

        def has_them() -> bool:
            nonlocal answer
            answer = self.get(f"/api/v1/agents/{slug}")
            known = answer.status_code != httpx.codes.NOT_FOUND
            return known and answer.raise_for_status().json().items() >= fields.items()

        try:
            eventually(has_them)
        except AssertionError:
            told = f"{slug} never had {fields}: {answer.text}\n{self.log.read_text()}"
            raise AssertionError(told) from None
        return answer.json()

    def chat(self, port: object, content: str = "hi") -> str:
        """One unstreamed answer of the agent on that port."""
        body = {
            "model": "llama2",
            "messages": [{"role": "user", "content": content}],
            "stream": False,
        }
        url = f"http://127.0.0.1:{port}/api/chat"
        answer = httpx.post(url, json=body, timeout=30, verify=PLAIN)
        return str(answer.raise_for_status().json()["message"]["content"])

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper listens."""
        return places_of(self.environment, os.geteuid()).keeper

    @property
    def keeper(self) -> int:
        """The keeper's pid, as the kernel knows it; raises OSError when there is none."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(str(self.keeper_socket))
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("3i", credentials)[0]

    def tree(self) -> list[psutil.Process]:
        """Every process of the fleet but the daemon: keeper, template, units."""
        keeper = psutil.Process(self.keeper)
        return [keeper, *keeper.children(recursive=True)]

    def units(self) -> dict[str, int]:
        """The agents' pids."""
        rows = self.get("/api/v1/agents").raise_for_status().json()["agents"]
        return {row["slug"]: row["pid"] for row in rows if row["pid"]}

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        assert end(self.keeper_socket, 30)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def _has_said(self) -> bool:
        return b"Management:" in self.out.read_bytes()

    def _answers(self) -> bool:
        try:
            return self.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def _is_over(self) -> bool:
        return self.process is not None and self.process.poll() is not None


@contextmanager
def running(daemon: AnyDaemon, *, settled: bool = True) -> Generator[AnyDaemon]:
    """The daemon, started; stopped at the end whatever happens."""
    try:
        daemon.start(settled=settled)
        yield daemon
    finally:
        daemon.end()


def are_gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return not any(is_alive(one) for one in processes)


def is_alive(process: psutil.Process) -> bool:
    """Whether it exists and is no zombie."""
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
