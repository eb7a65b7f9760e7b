"""A model that thinks in no time: `python -m benchmarks.token_path.upstream PORT`.

It speaks Ollama's dialect, and OpenAI's for peers that know no other. One chunk
of the body for each token, as real servers write them; how many comes with
`options.num_predict` or `max_tokens`. What can be sent at once is, so that it
is never the slowest part.
"""

import asyncio
import sys
from typing import Protocol, runtime_checkable

import msgspec
import uvloop
from benchmarks.token_path.answers import SPEECHES, Speech, fact

WRITES_AT_ONCE = 16


class Options(msgspec.Struct, frozen=True):
    """How long an Ollama client wants the answer."""

    num_predict: int = 0


class Asked(msgspec.Struct, frozen=True):
    """What of a chat is looked at, in both dialects."""

    options: Options = Options()
    max_tokens: int = 0

    @property
    def tokens(self) -> int:
        """How many are wanted."""
        return self.options.num_predict or self.max_tokens


@runtime_checkable
class Wire(Protocol):
    """What is needed of a transport."""

    def write(self, data: bytes) -> None: ...


class Served(asyncio.Protocol):
    """One connection: whole requests come in, answers go out."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: Wire | None = None
        self._free = True
        self._speech = SPEECHES["/api/chat"]
        self._left = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Wire)  # uvloop's is none of asyncio.Transport
        self._transport = transport

    def pause_writing(self) -> None:
        self._free = False

    def resume_writing(self) -> None:
        self._free = True
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        size = _length(head)
        if not found or len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head.split(b" ", 2)[1].decode(), rest[:size])

    def _answer(self, path: str, body: bytes) -> None:
        if self._transport is None:
            return
        if speech := SPEECHES.get(path):
            self._begin(self._transport, speech, msgspec.json.decode(body, type=Asked).tokens)
        else:
            self._transport.write(fact(path))

    def _begin(self, transport: Wire, speech: Speech, tokens: int) -> None:
        self._speech, self._left = speech, tokens
        transport.write(speech.head)
        self._write()

    def _write(self) -> None:
        """Some tokens, then everybody else's turn."""
        if self._transport is None or not self._free or self._left < 0:
            return
        for number in range(min(WRITES_AT_ONCE, self._left)):
            self._transport.write(self._speech.tokens[number % 2])
        self._left -= WRITES_AT_ONCE
        if self._left > 0:
            asyncio.get_running_loop().call_soon(self._write)
        else:
            self._transport.write(self._speech.last)
            self._left = -1


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line[15:]) for line in lines if line[:15] == b"content-length:"), 0)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
