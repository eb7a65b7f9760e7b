"""The model host as an agent sees it: a unix socket that somebody has to serve.

Under a daemon the host is the daemon's and is waited for; an agent that runs
alone starts one of its own and stops it when it closes.
"""

import asyncio
import hashlib
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from atoll.adapters.private import private_directory
from atoll.config.places import Places
from atoll.errors import UpstreamError, UpstreamRefused, UpstreamTimeout

POLL = 0.05
"""Seconds between two looks at a socket that nobody serves yet."""
STOP_TIMEOUT = 2.0
MOST_WORDS = 256
"""Bytes of the longest datagram of a channel."""


def host_socket(places: Places, gguf: Path) -> Path:
    """The socket of the host of one GGUF; the same file has the same socket for everybody."""
    key = hashlib.sha256(str(gguf.absolute()).encode()).hexdigest()[:12]
    return places.runtime / f"model-{key}.sock"


class Host(Protocol):
    """Who serves the model."""

    async def prepare(self) -> None:
        """Begin what this process itself has to do for the socket to be served."""
        ...

    async def ensure(self) -> None:
        """Return when the socket is served; raises UpstreamError when that does not happen."""
        ...

    async def close(self) -> None:
        """Stop what was started here."""
        ...


class SupervisedHost:
    """The daemon's: it is only waited for, at most `timeout` seconds."""

    def __init__(self, socket: Path, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout

    async def prepare(self) -> None:
        """Nothing: the daemon does it."""

    async def ensure(self) -> None:
        """Look until somebody answers."""
        end = time.monotonic() + self._timeout
        while not await is_served(self._socket):
            if time.monotonic() >= end:
                raise UpstreamRefused(
                    f"the model host at {self._socket} is not running;"
                    " `atoll ps` and `atoll logs` say why"
                )
            await asyncio.sleep(POLL)

    async def close(self) -> None:
        """Nothing of ours."""


class OwnHost:
    """A child of this process, started at the first use; a host that already serves is shared."""

    def __init__(
        self, gguf: Path, model: str, socket: Path, environ: Mapping[str, str], timeout: float
    ) -> None:
        self._arguments = ("--model", str(gguf), "--name", model, "--socket", str(socket))
        self._socket = socket
        self._environ = environ
        self._timeout = timeout
        self._child: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def child_pid(self) -> int | None:
        """The process that serves for us, if there is one and it runs."""
        child = self._child
        return child.pid if child and child.returncode is None else None

    async def prepare(self) -> None:
        """Start the child."""
        await self.ensure()

    async def ensure(self) -> None:
        """Start the child once, however many ask at the same time."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        await asyncio.shield(self._starting)

    async def close(self) -> None:
        """SIGTERM, and SIGKILL after two seconds."""
        if self._starting:
            self._starting.cancel()
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        child.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    def _started(self, task: "asyncio.Task[None]") -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; when nobody did, asyncio need not shout

    async def _start(self) -> None:
        if await is_served(self._socket):
            return
        private_directory(self._socket.parent)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                self._child = await self._spawn(theirs.fileno())
            await self._ready(ours)

    async def _spawn(self, channel: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "atoll.modelhost", *self._arguments),
            stdin=asyncio.subprocess.DEVNULL,
            env={**self._environ, "ATOLL_CHANNEL_FD": str(channel), "ATOLL_SUPERVISED": "1"},
            pass_fds=(channel,),
        )

    async def _ready(self, channel: socket.socket) -> None:
        """Wait for the child's word; its silent end means that it failed, or was not needed."""
        channel.setblocking(False)
        try:
            async with asyncio.timeout(self._timeout):
                said = await asyncio.get_running_loop().sock_recv(channel, MOST_WORDS)
        except TimeoutError:
            raise UpstreamTimeout(f"the model host was not ready in {self._timeout:g} s") from None
        if not said and not await is_served(self._socket):
            raise UpstreamError("the model host could not start; the lines above say why")


async def is_served(path: Path) -> bool:
    """Whether somebody accepts connections there."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
