"""The least supervisor that this machine allows: no product, the line that the tables draw.

`python floor.py CONFIG` with a JSON of `{"mode", "control", "units": [{"name",
"port", "argv"}]}`. Mode `plain`: a child binds its own port and is started again
at once when its pidfd fires. Mode `sock`: the listening socket is held and
passed on; a restart starts the new child, waits until it is ready and sends
SIGTERM to the old one. A line `restart NAME`, `stop NAME`, `stop`, `start` or `list`
on the unix socket `control` is answered by one line of JSON when it is done.
"""

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct


class Wanted(Struct, frozen=True):
    """One child."""

    name: str
    port: int
    argv: list[str]


class Config(Struct, frozen=True):
    """What is to be supervised."""

    mode: Literal["plain", "sock"]
    control: str
    units: list[Wanted]


class Child:
    """One unit: its socket, and the process that serves it."""

    def __init__(self, wanted: Wanted, *, holds: bool) -> None:
        self.wanted = wanted
        self.pid = 0
        self.on = False
        address = ("127.0.0.1", wanted.port)
        self._sock = socket.create_server(address, backlog=2048) if holds else None
        self._gone: dict[int, asyncio.Event] = {}
        self._again: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it; a holder returns when it is ready."""
        self.on = True
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = self._spawn(theirs)
        theirs.close()
        self.pid = pid
        self._watch(pid)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        if self._sock is not None:
            await loop.sock_recv(ours, 4096)
        # An agent goes on to beat there, and leaves when nobody listens.
        loop.add_reader(ours, self._hear, ours)

    async def stop(self) -> None:
        """End it and return when it is gone."""
        self.on = False
        await self._end(self.pid)

    async def restart(self) -> None:
        """Without a gap when the socket is held."""
        old = self.pid
        if self._sock is None:
            self.on = False
            await self._end(old)
            await self.start()
        else:
            await self.start()
            await self._end(old)

    def _spawn(self, channel: socket.socket) -> int:
        environ = {**os.environ, "ATOLL_SUPERVISED": "1"}
        given = {4: channel.fileno()}
        if self._sock is not None:
            environ |= {"ATOLL_CHANNEL_FD": "4", "LISTEN_FDS": "1"}
            given[3] = self._sock.fileno()
        # Out of the way first: one of them may have the number that the other is to get.
        high = {to: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for to, fd in given.items()}
        actions = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in high.items()]
        argv = self.wanted.argv
        try:
            return os.posix_spawn(argv[0], argv, environ, file_actions=actions, setsid=True)
        finally:
            for fd in high.values():
                os.close(fd)

    def _hear(self, ours: socket.socket) -> None:
        try:
            heard = ours.recv(4096)
        except OSError:
            heard = b""
        if not heard:
            asyncio.get_running_loop().remove_reader(ours)
            ours.close()

    def _watch(self, pid: int) -> None:
        fd = os.pidfd_open(pid)
        self._gone[pid] = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self._ended, pid, fd)

    def _ended(self, pid: int, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)
        os.waitpid(pid, 0)
        self._gone.pop(pid).set()
        if self.on and pid == self.pid:
            self._again = asyncio.create_task(self.start())

    async def _end(self, pid: int) -> None:
        if (gone := self._gone.get(pid)) is not None:
            os.killpg(pid, signal.SIGTERM)
            await gone.wait()


class Floor:
    """All of them."""

    def __init__(self, config: Config) -> None:
        holds = config.mode == "sock"
        self._units = {one.name: Child(one, holds=holds) for one in config.units}
        self._control = config.control

    async def run(self) -> None:
        """Supervise until SIGTERM."""
        leave = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
        Path(self._control).unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, self._control)
        await self._all("start")
        await leave.wait()
        server.close()
        await self._all("stop")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, _, name = (await reader.readline()).decode().strip().partition(" ")
        if name:
            await _done(self._units[name], verb)
        elif verb != "list":
            await self._all(verb)
        pids = {name: unit.pid for name, unit in self._units.items() if unit.on}
        writer.write(json.dumps(pids).encode() + b"\n")
        writer.close()

    async def _all(self, verb: str) -> None:
        await asyncio.gather(*(_done(unit, verb) for unit in self._units.values()))


async def _done(unit: Child, verb: str) -> None:
    if verb == "restart":
        await unit.restart()
    elif verb == "stop":
        await unit.stop()
    elif not unit.on:
        await unit.start()


if __name__ == "__main__":
    asyncio.run(Floor(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Config)).run())
