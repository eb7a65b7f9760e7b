"""The daemon's end of `keeper.sock`: commands go out, states come in (`keeper.protocol`).

Nothing here waits on the loop: a packet that the socket does not take now is
sent in its turn as soon as it does, and whatever can be read is read in one go,
so that what happened together is decided together.
"""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from atoll_supervisor.keeper.packets import MAX_PACKET, Garbage, decode_state, encode
from atoll_supervisor.keeper.protocol import (
    Command,
    Held,
    Hello,
    Listen,
    Pass,
    Process,
    Remembered,
    State,
    Synced,
    Template,
    Welcome,
)

_MOST = 512
"""Packets that are read before other work of the loop gets its turn."""

Told = Callable[[Sequence[State]], None]
Lost = Callable[[], None]
T = TypeVar("T")


class KeeperLink:
    """One connection to one keeper; dead when that keeper is."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # a smaller buffer serves as well, in more pieces
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_PACKET)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(MAX_PACKET)
        self._outbox: deque[bytes] = deque()
        self._inbox: list[State] = []
        self._passing: dict[str, asyncio.Future[socket.socket]] = {}
        self._told: Told | None = None
        self._lost: Lost | None = None
        self.welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self.synced: asyncio.Future[None] = self._loop.create_future()
        self.alive = True
        self._loop.add_reader(sock, self.read)
        self.send(Hello(pid=os.getpid()))

    def attend(self, told: Told, lost: Lost) -> None:
        """Have every state told from now on, first those that have come already."""
        self._told, self._lost = told, lost
        self._hand_over()
        if not self.alive:
            self._loop.call_soon(lost)

    def take(self) -> tuple[State, ...]:
        """What has come so far, for whoever wants to see it before it is told."""
        taken, self._inbox = tuple(self._inbox), []
        return taken

    def send(self, command: Command) -> None:
        """Send now or in its turn; raises OSError for a command that is too large.

        What is sent to a keeper that is gone is lost with it.
        """
        packet = encode(command)
        if len(packet) > MAX_PACKET:
            raise OSError(90, "the launch is too large: its environment must be shorter")
        if not self.alive:
            return
        self._outbox.append(packet)
        if len(self._outbox) == 1:
            self._flush()

    async def listen(self, unit: str, host: str, port: int) -> socket.socket:
        """A copy of the unit's socket, which the keeper holds; raises OSError where it cannot."""
        passed: asyncio.Future[socket.socket] = self._loop.create_future()
        self._passing[unit] = passed
        self.send(Listen(unit, host, port))
        self.send(Pass(unit))
        try:
            return await passed
        finally:
            self._passing.pop(unit, None)

    def read(self) -> None:
        """Take in what has come; called by the loop, and by whoever must know what it missed."""
        for _ in range(_MOST):
            if not self.alive or not self._read_one():
                break
        if self._told is not None:
            self._hand_over()

    def close(self) -> None:
        """Let go of the keeper, which goes on; nobody is told."""
        self._lost = None
        self._end(ConnectionResetError("the connection to the keeper was closed"))

    def _hand_over(self) -> None:
        if self._told is not None and self._inbox:
            self._told(self.take())

    def _read_one(self) -> bool:
        space, flags = socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        try:
            size, ancillary, _, _ = self._sock.recvmsg_into([self._buffer], space, flags)
        except BlockingIOError:
            return False
        except OSError as error:
            self._end(error)
            return False
        if size == 0:
            self._end(ConnectionResetError("the keeper has ended"))
            return False
        descriptors = [fd for _, _, data in ancillary for fd in array.array("i", data)]
        try:
            self._take_in(decode_state(bytes(self._buffer[:size])), descriptors)
        except Garbage:
            pass  # a state that a newer keeper has and we do not
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _take_in(self, state: State, descriptors: list[int]) -> None:
        match state:
            case Welcome() if not self.welcome.done():
                self.welcome.set_result(state)
            case Synced() if not self.synced.done():
                self.synced.set_result(None)
            case Held() if waiter := self._passing.get(state.unit):
                self._pass(waiter, state, descriptors)
            case Held() | Remembered() | Process() | Template():
                self._inbox.append(state)
            case Welcome() | Synced():
                pass

    def _pass(
        self, waiter: asyncio.Future[socket.socket], state: Held, descriptors: list[int]
    ) -> None:
        if waiter.done():
            return
        if descriptors:
            waiter.set_result(socket.socket(fileno=descriptors.pop()))
        elif state.errno:
            waiter.set_exception(OSError(state.errno, os.strerror(state.errno)))

    def _flush(self) -> None:
        while self._outbox:
            try:
                self._sock.send(self._outbox[0])
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError as error:
                self._end(error)
                return
            self._outbox.popleft()
        self._loop.remove_writer(self._sock)

    def _end(self, error: OSError) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._outbox.clear()
        _fail(self.welcome, error)
        _fail(self.synced, error)
        for waiting in self._passing.values():
            _fail(waiting, error)
        if self._lost is not None:
            self._loop.call_soon(self._lost)


def _fail(waiting: "asyncio.Future[T]", error: OSError) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # looked at: nobody has to wait for it
