"""The least that can stand between: `python -m benchmarks.token_path.floor PORT MODEL_PORT`.

It passes bytes on and reads none of them. What it adds is the price of any
process between a client and its model on this machine.
"""

import asyncio
import sys
from typing import Protocol, runtime_checkable

import uvloop


@runtime_checkable
class Wire(Protocol):
    """What is needed of a transport."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Side(asyncio.Protocol):
    """One end of a passage; what it reads goes out at the other end."""

    other: "Side"

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self._waiting: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Write, as soon as there is a connection."""
        if self.wire is None:
            self._waiting.append(data)
        else:
            self.wire.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Wire)  # uvloop's is none of asyncio.Transport
        self.wire = transport
        for data in self._waiting:
            transport.write(data)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self.other.send(data)

    def pause_writing(self) -> None:
        if self.other.wire is not None:
            self.other.wire.pause_reading()

    def resume_writing(self) -> None:
        if self.other.wire is not None:
            self.other.wire.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other.wire is not None:
            self.other.wire.close()


class Front(Side):
    """The client's end: with each client, a connection to the model is made."""

    def __init__(self, model_port: int) -> None:
        super().__init__()
        self._model_port = model_port
        self.other = Side()
        self.other.other = self
        self._connecting: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        connect = loop.create_connection(lambda: self.other, "127.0.0.1", self._model_port)
        self._connecting = loop.create_task(connect)


async def main(port: int, model_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(model_port), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
