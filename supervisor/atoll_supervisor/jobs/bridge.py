"""Carries connections from the agent's own socket to its job, byte by byte, both ways.

Nothing is read of what is carried, and no time is limited but that of a client whose
job has ended the connection: whoever does not read slows the other side down, the
end of one side's words is told to the other, and what breaks breaks at both ends.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from functools import partial
from typing import cast

from atoll.adapters.listening import BACKLOG
from atoll.wire.relay import greeting_of

AGAIN = 0.1
"""Seconds between two tries to reach a job that may just be ending: then its relay ends too."""


LAST_WORDS = 2.0
"""Seconds that clients get to read what a job said before it ended."""
LINGER = 10.0
"""Seconds that a client may send on when its job has nothing more to say; a server of ours
takes no longer to close for good."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, socket(7): closing then is a reset, which nobody takes for a whole answer."""


class Bridge:
    """Everything that comes in at `sock` goes to a job at `place`."""

    def __init__(self, sock: socket.socket, place: tuple[str, int], key: str) -> None:
        self._sock = sock
        self._place = place
        self._greeting = greeting_of(key, "client")
        self._server: asyncio.Server | None = None
        self._takes = False
        self._clients: set[Client] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected."""
        return not self._clients

    async def open(self) -> None:
        """Take connections from now on; those that have come meanwhile wait at the socket."""
        self._takes = True
        if self._server is not None:
            return
        loop, sock = asyncio.get_running_loop(), self._sock.dup()
        server = await loop.create_server(self._client, sock=sock, backlog=BACKLOG)
        if self._takes and self._server is None:
            self._server = server
        else:
            server.close()

    def close(self) -> None:
        """Take no more, until it is opened again; those that there are go on."""
        self._takes = False
        if self._server is not None:
            self._server.close()
        self._server = None

    async def end(self) -> None:
        """The job is gone: let its last words arrive, then break off what is still there."""
        self.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                while self._clients:  # noqa: ASYNC110  once in a process's life
                    await asyncio.sleep(AGAIN)
        self.drop()

    def drop(self) -> None:
        """Break every connection off."""
        self.close()
        for client in tuple(self._clients):
            client.leave(broken=True)

    def _client(self) -> "Client":
        return Client(self._place, self._greeting, self._clients)


class Side(asyncio.Protocol):
    """One end of a carried connection; what it hears goes to the `other`."""

    def __init__(self) -> None:
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self.has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one but in its class

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        if self.other is not None:
            self.other.say(data)

    def eof_received(self) -> bool:
        """From asyncio; the connection stays open for the other's words until it ends too."""
        self.has_ended = True
        if self.other is not None:
            self.other.finish()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""
        if self.other is not None:
            self.other.leave(broken=exc is not None)

    def pause_writing(self) -> None:
        """From asyncio: this side reads more slowly than the other one speaks."""
        if self.other is not None:
            self.other.listen(on=False)

    def resume_writing(self) -> None:
        """From asyncio."""
        if self.other is not None:
            self.other.listen(on=True)

    def say(self, data: bytes) -> None:
        """Send this."""
        if (transport := self._living()) is not None:
            transport.write(data)

    def finish(self) -> None:
        """The other has nothing more to say; when neither has, the connection is over."""
        if (transport := self._living()) is None:
            return
        if self.has_ended:
            transport.close()
        else:
            transport.write_eof()

    def leave(self, *, broken: bool) -> None:
        """The other is gone: say what is still to be said, but for a connection that broke."""
        if (transport := self._living()) is not None:
            if broken:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                transport.abort()
            else:
                transport.close()

    def listen(self, *, on: bool) -> None:
        """Read, or read no more for a while."""
        if (transport := self._living()) is not None:
            if on:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _living(self) -> asyncio.Transport | None:
        transport = self.transport
        return None if transport is None or transport.is_closing() else transport


class Client(Side):
    """A client's end. One piece is read of it, and no more, before its job is reached."""

    def __init__(self, place: tuple[str, int], greeting: bytes, everybody: "set[Client]") -> None:
        super().__init__()
        self._everybody = everybody
        self._place = place
        self._greeting = greeting
        self._reaching: asyncio.Task[None] | None = None
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        super().connection_made(transport)
        self._everybody.add(self)
        self._reaching = asyncio.get_running_loop().create_task(self._reach())

    def data_received(self, data: bytes) -> None:
        """From asyncio. Before now uvloop reads on, whatever it is told."""
        if self.other is None:
            self._first += data
            self.listen(on=False)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""
        self._everybody.discard(self)
        if self._reaching is not None:
            self._reaching.cancel()
        super().connection_lost(exc)

    def finish(self) -> None:
        """Its job has nothing more to say."""
        super().finish()
        asyncio.get_running_loop().call_later(LINGER, partial(self.leave, broken=False))

    async def _reach(self) -> None:
        other = Side()
        try:
            await self._connect(other)
        except asyncio.CancelledError:  # the client is gone
            other.leave(broken=True)
            raise
        self.other, other.other = other, self
        self.listen(on=True)  # before the first words: they may be too many at once
        other.say(self._greeting + self._first)
        self._first = b""
        if self.has_ended:
            other.finish()

    async def _connect(self, other: Side) -> None:
        loop = asyncio.get_running_loop()
        while other.transport is None:
            with suppress(OSError):
                await loop.create_connection(lambda: other, *self._place)
            if other.transport is None:
                await asyncio.sleep(AGAIN)
