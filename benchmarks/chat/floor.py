"""Answers without looking: `python -m benchmarks.chat.floor PORT`.

The client asks nobody faster than this, so it shows what the client can count.
"""

import asyncio
import sys
from typing import Protocol, runtime_checkable

import uvloop
from benchmarks.chat.question import REQUEST
from benchmarks.chat.raw import answer

BODY = answer("agent")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
WHOLE = HEAD % len(BODY) + BODY


@runtime_checkable
class Wire(Protocol):
    """What is needed of a transport."""

    def write(self, data: bytes) -> None: ...


class Served(asyncio.Protocol):
    """Counts the bytes of requests; they are all the same."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Wire)  # uvloop's is none of asyncio.Transport
        self._transport = transport
        self._come = 0

    def data_received(self, data: bytes) -> None:
        self._come += len(data)
        while self._come >= len(REQUEST):
            self._come -= len(REQUEST)
            self._transport.write(WHOLE)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
