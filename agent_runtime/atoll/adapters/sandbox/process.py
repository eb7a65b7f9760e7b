"""One sandbox seen from outside: bubblewrap with the worker in it, and the socket to it."""

import asyncio
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec import Struct

from atoll.adapters.sandbox import tree
from atoll.adapters.sandbox.command import NOBODY, Limits, Passed, command
from atoll.adapters.sandbox.frames import (
    HEAD,
    Answer,
    Hello,
    Run,
    Said,
    decoded,
    encoded,
    length_of,
)
from atoll.adapters.sandbox.interpreter import Interpreter
from atoll.errors import AgentError

START_LIMIT = 10.0
"""Seconds from the start of bubblewrap to the worker's first word."""
_CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid."""
_FIRST_TO_DIE = "1000"
"""For oom_score_adj: when the machine runs out of memory, this and not the agent goes."""


class Setup(Struct, frozen=True, kw_only=True):
    """What every sandbox of an agent is made from; `filter` b"" is none."""

    bwrap: Path
    python: Interpreter
    limits: Limits
    filter: bytes
    dropped: bool

    @property
    def most(self) -> int:
        """The longest frame that is taken: each text of a step within its limit, JSON's \\u00XX."""
        return 24 * self.limits.output + (1 << 16)


class Gone(Exception):
    """The sandbox has ended; the text says of what."""


class Worker:
    """A running sandbox; `start_worker` makes it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        pid: int,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        most: int,
    ) -> None:
        self.pid = pid
        self._process = process
        self._pidfd = os.pidfd_open(pid)
        self._reader, self._writer = streams
        self._most = most
        self._why = ""

    def send(self, frame: Run | Answer) -> None:
        """Say something to the worker; one that is gone is noticed by `receive`."""
        self._writer.write(encoded(frame))

    async def receive(self) -> Said:
        """The worker's next word; raises Gone. What is no word of ours ends the sandbox."""
        try:
            length = length_of(await self._reader.readexactly(HEAD))
            if length > self._most:
                self.kill(f"it said {length} bytes at once")
                self.check()
            said = decoded(await self._reader.readexactly(length))
        except msgspec.DecodeError:
            self.kill("it said what no worker says")
        except (asyncio.IncompleteReadError, OSError):
            self._why = self._why or await self._last_words()
        else:
            self.check()
            return said
        raise Gone(self._why)

    def check(self) -> None:
        """Raise Gone when it was ended, whatever it still has to say."""
        if self._why:
            raise Gone(self._why)

    def interrupt(self) -> None:
        """Have the code stop at its next instruction; the state stays."""
        self._signal(signal.SIGINT)

    def resume(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def pause(self) -> None:
        """Nothing runs between two steps: the worker stands still, what it started ends."""
        self._signal(signal.SIGSTOP)
        if not tree.kill_others(self._process.pid, self.pid):  # nor bubblewrap's own, pid 1 inside
            self.kill("its processes could not be ended")

    def held(self, most: int) -> int:
        """Bytes of memory that everything in the sandbox holds; exact when it is over `most`."""
        return tree.held(self._process.pid, self.pid, most)

    def kill(self, why: str) -> None:
        """End everything in the sandbox at once."""
        self._why = self._why or why
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """End everything in the sandbox and wait for it."""
        self.kill("it was closed")
        self._writer.close()
        await _ended(self._process)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    async def _last_words(self) -> str:
        self._process.kill()  # closing the socket without ending is no way to go on
        code = await _ended(self._process)
        if code > 128:
            with suppress(ValueError):
                return f"it was ended by {signal.Signals(code - 128).name}"
        return f"its Python ended (exit code {code})" if code >= 0 else "it gave its channel away"

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)


async def start_worker(setup: Setup) -> Worker:
    """Start a sandbox and wait until it can run code.

    Raises AgentError with bubblewrap's own words when it cannot be made here.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with theirs:
        process = _spawn(setup, theirs)
    try:
        async with asyncio.timeout(START_LIMIT):
            pid = await _hello(ours)
        _offer_first(pid)
        return Worker(process, pid, await asyncio.open_unix_connection(sock=ours), setup.most)
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
        ours.close()
        raise AgentError(await _refusal(process)) from error
    except asyncio.CancelledError:
        ours.close()
        _end_early(process)
        await _ended(process)
        raise
    finally:
        if process.stderr is not None:
            process.stderr.close()


def _spawn(setup: Setup, channel: socket.socket) -> subprocess.Popen[bytes]:
    """Start bubblewrap, as nobody if we are root, with nothing of our environment.

    Its own environment can be read inside (/proc/1/environ, were there a /proc),
    so it is empty too. Done on the loop's own thread: bubblewrap ends with the
    thread that started it.
    """
    worker = files("atoll.adapters.sandbox").joinpath("worker.py").read_bytes()
    nobody = NOBODY if setup.dropped else None
    with ExitStack() as stack:
        program = stack.enter_context(_readable(worker))
        rules = stack.enter_context(_readable(setup.filter)) if setup.filter else None
        return subprocess.Popen(  # noqa: S603  no shell, and every word is ours
            command(setup.bwrap, setup.python, setup.limits, Passed(program, rules)),
            stdin=channel.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=[program] if rules is None else [program, rules],
            user=nobody,
            group=nobody,
            extra_groups=[] if setup.dropped else None,
        )


@contextmanager
def _readable(content: bytes) -> Generator[int]:
    """A pipe that holds the content; it is less than a pipe takes."""
    read, write = os.pipe()
    try:
        os.write(write, content)
        os.close(write)
        yield read
    finally:
        os.close(read)


def _offer_first(pid: int) -> None:
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(_FIRST_TO_DIE)


async def _hello(sock: socket.socket) -> int:
    """Hear the first word; the kernel says which process spoke, in our numbers."""
    await _until_readable(sock.fileno())
    body, ancillary, _, _ = sock.recvmsg(1 << 12, socket.CMSG_SPACE(_CREDENTIALS.size))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    if not isinstance(decoded(body[HEAD:]), Hello):
        raise ValueError("no hello")
    (_, _, credentials) = ancillary[0]
    pid, _, _ = _CREDENTIALS.unpack(credentials)
    return int(pid)


def _end_early(process: subprocess.Popen[bytes]) -> None:
    """End bubblewrap and its child, which in its first milliseconds does not end with it yet.

    It waits for its parent's word before it asks for the parent's death signal.
    """
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)  # so that it makes no child while we look
        for pid in (*tree.descendants(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)


async def _refusal(process: subprocess.Popen[bytes]) -> str:
    _end_early(process)
    await _ended(process)
    words = process.stderr.read(1 << 12).decode(errors="replace").strip() if process.stderr else ""
    return f"the sandbox does not start: {words or 'its Python said nothing'}"


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process that was killed or is about to end, and bury it."""
    if process.poll() is None:
        descriptor = os.pidfd_open(process.pid)  # ours until we wait for it
        try:
            await _until_readable(descriptor)
        finally:
            os.close(descriptor)
    return process.wait()


async def _until_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, readable)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
