"""A server as a child process: one JSON-RPC message a line on its stdin and stdout.

The SDK has such a transport too. It bounds no line, passes on more of our
environment than DESIGN section 6 allows, and its children outlive an agent that
is killed.
"""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from msgspec import Struct

from atoll.adapters.mcp.link import MOST_BYTES, Link, Lost, Read, Streams
from atoll.adapters.mcp.relay import Say, relay, shown

GRACE = 1.0
"""Seconds to leave when its stdin is closed, and again on SIGTERM, before it is killed."""
MOST_GARBAGE = 100
"""Lines that are no messages; some servers print a greeting."""
_QUEUED = 16
"""Messages on their way to a server that does not read: nobody waits to say that he gave up."""
_LAUNCH = Path(__file__).with_name("launch.py")


class Command(Struct, frozen=True):
    """What is run, where, and with which variables alone."""

    program: str
    arguments: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str]


@asynccontextmanager
async def run_server(command: Command, link: Link, say: Say) -> AsyncGenerator[Streams]:
    """The streams of a fresh process, which is gone with everything of its group afterwards.

    Raises Lost when there is no such program.
    """
    server = await _whole(asyncio.create_task(_started(command)))
    inbox, incoming = anyio.create_memory_object_stream[Read](0)
    outgoing, outbox = anyio.create_memory_object_stream[SessionMessage](_QUEUED)
    try:
        async with inbox, incoming, outgoing, outbox, anyio.create_task_group() as group:
            group.start_soon(server.read, inbox, link, say)
            group.start_soon(server.write, outbox)
            group.start_soon(server.log, say)
            yield incoming, outgoing
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await server.stop()


async def _whole(start: "asyncio.Task[_Server]") -> "_Server":
    """A start is not left half way: uvloop would forget the process, which then goes on."""
    try:
        return await asyncio.shield(start)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True), suppress(Lost, OSError):
            await (await start).stop()
        raise


async def _started(command: Command) -> "_Server":
    program = shutil.which(command.program, path=command.environ.get("PATH"))
    if program is None:
        raise Lost(f"there is no program {command.program!r} on PATH")
    if not command.folder.is_dir():
        raise Lost(f"its cwd {str(command.folder)!r} is no folder")
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit=MOST_BYTES, loop=loop),
        *(sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid())),
        *(",".join(command.environ), program, *command.arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=command.folder,
        env=command.environ,
        start_new_session=True,
    )
    return _Server(transport, Process(transport, protocol, loop))


class _Server:
    """The process and its three pipes."""

    def __init__(self, transport: asyncio.SubprocessTransport, process: Process) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._transport = transport
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr

    async def read(self, inbox: MemoryObjectSendStream[Read], link: Link, say: Say) -> None:
        """Hand over each message; ends, with the reason in `link`, when there can be no more."""
        garbage = 0
        async with inbox:
            while garbage <= MOST_GARBAGE:
                try:
                    line = await self._stdout.readline()
                except ValueError:  # how a StreamReader says that its limit was passed
                    return link.note(f"it sent a message of over {MOST_BYTES} bytes")
                if not line:
                    return link.note(await self._fate())
                message = _message(line)
                if message is not None:
                    await inbox.send(message)
                elif line.strip():
                    garbage += 1
                    if garbage == 1:
                        say(f"its output is no message: {shown(line[:200])}")
        return link.note(f"it wrote over {MOST_GARBAGE} lines that are no messages")

    async def write(self, outbox: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Send each message; a server that hears no more is noticed by its silence."""
        with suppress(OSError):
            async for sent in outbox:
                text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._stdin.write(text.encode() + b"\n")
                await self._stdin.drain()

    async def log(self, say: Say) -> None:
        """Its stderr belongs to the agent's log."""
        await relay(self._stderr, say)

    async def stop(self) -> None:
        """Ask it to leave, as the specification of stdio says; kill what is left of its group."""
        try:
            self._stdin.close()
            if not await self._leaves():
                self._signal(signal.SIGTERM)
                await self._leaves()
            self._signal(signal.SIGKILL)
            await self._leaves()
        finally:  # cut short, too
            self._signal(signal.SIGKILL)
            self._transport.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _leaves(self) -> bool:
        """Whether it ends within `GRACE` seconds; full pipes would keep it from that."""
        try:
            async with asyncio.timeout(GRACE), asyncio.TaskGroup() as group:
                group.create_task(_drain(self._stdout))
                group.create_task(_drain(self._stderr))
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def _fate(self) -> str:
        """How it ended, when its stdout has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._process.wait()
        code = self._process.returncode
        if code is None:
            return "it closed its output"
        return f"it ended with exit code {code}" if code >= 0 else f"signal {-code} ended it"


def _message(line: bytes) -> SessionMessage | None:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:  # pydantic's ValidationError is one
        return None


async def _drain(stream: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await stream.read(65_536):
            pass
