"""An Ollama that thinks in no time: `python -m benchmarks.token_path.upstream PORT`.

One chunk of the body for each token, as real servers write them; how many comes with
`options.num_predict`. What can be sent at once is, so that it is never the slowest part.
"""

import asyncio
import json
import sys
from typing import Protocol, runtime_checkable

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
NDJSON = HEAD % b"application/x-ndjson" + b"Transfer-Encoding: chunked\r\n\r\n"
WRITES_AT_ONCE = 16
FACTS = {
    "/api/version": {"version": "0.12.0"},
    "/api/tags": {"models": [{"name": "fast:latest", "model": "fast:latest", "size": 1}]},
    "/api/show": {
        "details": {"family": "llama"},
        "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
        "capabilities": ["completion", "tools"],
    },
}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def line(**more: object) -> bytes:
    fixed = {"model": "fast", "created_at": "2026-11-21T10:00:00.123456789Z"}
    return json.dumps(fixed | more, separators=(",", ":")).encode() + b"\n"


TOKEN = chunk(line(message={"role": "assistant", "content": " token"}, done=False))
LAST = (
    chunk(
        line(
            message={"role": "assistant", "content": ""},
            done=True,
            done_reason="stop",
            total_duration=1000,
            prompt_eval_count=10,
            prompt_eval_duration=1000,
            eval_count=10,
            eval_duration=1000,
        )
    )
    + b"0\r\n\r\n"
)


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
        self._left = 0

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
        if not found:
            return
        size = next(
            (
                int(one[15:])
                for one in head.lower().split(b"\r\n")
                if one[:15] == b"content-length:"
            ),
            0,
        )
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head.split(b" ", 2)[1].decode(), rest[:size])

    def _answer(self, path: str, body: bytes) -> None:
        if self._transport is None:
            return
        if path != "/api/chat":
            said = json.dumps(FACTS[path]).encode()
            head = HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(said)
            self._transport.write(head + said)
            return
        self._left = json.loads(body)["options"]["num_predict"]
        self._transport.write(NDJSON)
        self._write()

    def _write(self) -> None:
        """Some tokens, then everybody else's turn."""
        if self._transport is None or not self._free or self._left < 0:
            return
        for _ in range(min(WRITES_AT_ONCE, self._left)):
            self._transport.write(TOKEN)
        self._left -= WRITES_AT_ONCE
        if self._left > 0:
            asyncio.get_running_loop().call_soon(self._write)
        else:
            self._transport.write(LAST)
            self._left = -1


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
