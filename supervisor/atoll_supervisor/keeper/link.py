"""The control socket: one daemon at a time gives commands and is told states.

States are told when they have changed, each at most once per turn of the loop:
what is kept is which ones are to be told, never the packets. A daemon that
does not read costs nothing but that set.

A connection is a stranger until its first command. Then it is the daemon, and
the one before it is closed: the youngest counts.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from atoll_supervisor.keeper.eventloop import READ, WRITE, Complain, Loop
from atoll_supervisor.keeper.packets import MAX_PACKET, Garbage, decode_command, encode
from atoll_supervisor.keeper.protocol import Command, State

GREET_LIMIT = 5.0
"""Seconds that a connection may be silent before its first command."""
_MOST_STRANGERS = 8
_MOST_COMMANDS = 64
"""Commands that are taken in one turn of the loop, so that nobody else has to wait."""
_SEND_BUFFER = 1 << 20
_CREDENTIALS = struct.Struct("3i")
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


class Packet(NamedTuple):
    """What is told, and a descriptor that goes with it."""

    state: State
    fd: int = -1


Telling = Callable[[], Packet | None]
"""Asked at the moment of sending, so that always the newest is told."""
Obey = Callable[[Command], None]


class Link:
    """The listening end and the connections."""

    def __init__(self, listener: socket.socket, loop: Loop, obey: Obey, complain: Complain) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._loop = loop
        self._obey = obey
        self._complain = complain
        self._daemon: socket.socket | None = None
        self._blocked = False
        self._strangers: list[socket.socket] = []
        self._dirty: dict[tuple[str, ...], Telling] = {}
        self._spare = _spare()
        loop.watch(listener.fileno(), self._accept)

    @property
    def connected(self) -> bool:
        """Whether a daemon is there."""
        return self._daemon is not None

    def tell(self, key: tuple[str, ...], telling: Telling) -> None:
        """Have this told at the end of the turn, once."""
        if self._daemon is not None:
            self._dirty[key] = telling

    def start_over(self) -> None:
        """Forget what was to be told: everything will be."""
        self._dirty.clear()

    def flush(self) -> None:
        """Tell what the daemon takes now."""
        if not self._dirty or self._blocked:
            return
        for key, telling in list(self._dirty.items()):
            packet = telling()
            if packet is not None and not self._send(packet):
                return
            self._dirty.pop(key, None)

    def close(self) -> None:
        """Close every connection and the listening end."""
        for sock in (*self._strangers, self._daemon, self._listener):
            if sock is not None:
                self._loop.unwatch(sock.fileno())
                sock.close()
        os.close(self._spare)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._turn_away()
            return
        self._welcome(sock)

    def _turn_away(self) -> None:
        """Without a free descriptor a connection would stay in the queue and wake us for ever."""
        os.close(self._spare)
        with suppress(OSError):
            self._listener.accept()[0].close()
        self._spare = _spare()
        self._complain("a connection was refused: there are no descriptors left")

    def _welcome(self, sock: socket.socket) -> None:
        uid = _uid_of(sock)
        if uid not in (0, os.geteuid()):
            self._complain(f"a connection of another user (uid {uid}) was refused")
            sock.close()
            return
        sock.setblocking(False)
        with suppress(OSError):  # a smaller buffer serves as well, in more pieces
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if len(self._strangers) >= _MOST_STRANGERS:
            self._part_with(self._strangers[0])
        self._strangers.append(sock)
        self._loop.watch(sock.fileno(), partial(self._readable, sock))
        self._loop.call_later(GREET_LIMIT, partial(self._out_of_patience, sock))

    def _out_of_patience(self, sock: socket.socket) -> None:
        if sock in self._strangers:
            self._part_with(sock)

    def _readable(self, sock: socket.socket) -> None:
        if self._blocked and sock is self._daemon:
            self._blocked = False
            self._loop.watch(sock.fileno(), partial(self._readable, sock))
        for _ in range(_MOST_COMMANDS):
            if sock.fileno() < 0 or not self._read_one(sock):
                break

    def _read_one(self, sock: socket.socket) -> bool:
        """One packet; False when there is no more now."""
        try:
            packet, _, flags, _ = sock.recvmsg(MAX_PACKET)
        except BlockingIOError:
            return False
        except OSError:
            packet, flags = b"", 0
        if not packet:
            self._part_with(sock)
        elif flags & socket.MSG_TRUNC:
            self._complain(f"a packet of more than {MAX_PACKET} bytes was ignored")
        else:
            self._take(sock, packet)
        return bool(packet)

    def _take(self, sock: socket.socket, packet: bytes) -> None:
        try:
            command = decode_command(packet)
        except Garbage as error:
            self._complain(f"a packet was ignored: {error}")
            return
        if sock in self._strangers:
            self._accede(sock)
        self._obey(command)

    def _accede(self, sock: socket.socket) -> None:
        self._strangers.remove(sock)
        if self._daemon is not None:
            self._complain("a new daemon took the place of the one that was connected")
            self._part_with(self._daemon)
        self._daemon = sock

    def _part_with(self, sock: socket.socket) -> None:
        if sock is self._daemon:
            self._daemon = None
            self._blocked = False
            self._dirty.clear()
        elif sock in self._strangers:
            self._strangers.remove(sock)
        if sock.fileno() >= 0:
            self._loop.unwatch(sock.fileno())
            sock.close()

    def _send(self, packet: Packet) -> bool:
        """Send one; False when the daemon takes no more now, or is gone."""
        sock = self._daemon
        if sock is None:
            return False
        data = [encode(packet.state)]
        try:
            if packet.fd < 0:
                sock.sendmsg(data, (), socket.MSG_NOSIGNAL)
            else:
                socket.send_fds(sock, data, [packet.fd])
        except BlockingIOError:
            self._blocked = True
            self._loop.watch(sock.fileno(), partial(self._readable, sock), READ | WRITE)
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self._complain(f"a state of {len(data[0])} bytes is too long to be told")
                return True
            self._part_with(sock)
            return False
        return True


def _spare() -> int:
    """A descriptor that is there to be given up when there are no others."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _uid_of(sock: socket.socket) -> int:
    """Who connected (SO_PEERCRED, unix(7)); what the kernel says cannot be made up."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid
