"""A transport that sends together what is written together: one system call, not one a token.

A model's tokens come in bursts, each token is a write of its own, and on loopback
a write is a `send` that costs more than all else the token goes through. The
first token of a burst does not wait for the others: what is written first and
second, which may be a head and what follows it, goes at once.
"""

import asyncio

MOST = 64 * 1024
"""Bytes that wait for the end of the loop's turn; more go at once, to be counted by the
transport's own flow control."""


class Corked(asyncio.Transport):
    """Wraps a transport of any loop; what was written in one turn of the loop goes at its end."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0
        self._written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send with what is written next, at the end of the loop's turn at the latest."""
        self._parts.append(bytes(data))
        self._size += len(data)
        self._written += 1
        if self._written == 1:
            self._loop.call_soon(self._at_the_end)
        elif self._written == 2 or self._size > MOST:
            self._flush()

    def write_eof(self) -> None:
        """Send what there is, then the end."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what there is, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what was not sent is lost, as it is with any transport."""
        self._parts, self._size = [], 0
        self._transport.abort()

    def can_write_eof(self) -> bool:
        """As the transport."""
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        """As the transport."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """As the transport."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """As the transport."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As the transport."""
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """As the transport."""
        self._transport.set_protocol(protocol)

    def _at_the_end(self) -> None:
        self._written = 0
        self._flush()

    def _flush(self) -> None:
        if not self._parts:
            return
        data = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts, self._size = [], 0
        if not self._transport.is_closing():
            self._transport.write(data)
