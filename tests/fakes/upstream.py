"""A model server that does exactly what a test says, good or bad, over a real socket.

    async with Upstream() as upstream:
        upstream.on("/api/chat", ollama_chat("Hel", "lo"))
        ...                               # talk to upstream.url
        assert upstream.requests[-1].json["model"] == "tiny"

A reply is a list of acts played in order: bytes are sent as they are, the other
acts wait, hang or reset. Several replies given to `on` are used one after the
other and the last one stays; a function makes its reply of the request. Unknown paths get
Ollama's 404. Every request is recorded; `request.abandoned` is set when the
client hung up before the reply was played to its end.

Tests that are not async use `with upstream_in_thread() as upstream:`.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds, then go on."""

    seconds: float


@dataclass(frozen=True)
class Hang:
    """Say nothing more and keep the connection open until the client leaves."""


@dataclass(frozen=True)
class Reset:
    """Send TCP RST, as a killed process with unread data does."""


@dataclass(frozen=True)
class Hold:
    """Wait until the test sets the event."""

    event: asyncio.Event


Act = bytes | Pause | Hang | Reset | Hold
Reply = Sequence[Act]
"""Played in order; then the connection is closed."""

HANG, RESET = Hang(), Reset()


@dataclass
class Request:
    """One request as it reached the server."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    abandoned: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Reply | Callable[[Request], Reply]


def head(
    content_type: str = "application/json", status: str = "200 OK", length: int | None = None
) -> bytes:
    """A response's head; without a length the body is chunked."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n".encode()


def piece(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def whole(body: bytes | object, status: str = "200 OK", content_type: str = "") -> list[Act]:
    """A complete answer; anything but bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = content_type or "application/json"
    return [head(kind, status, len(raw)) + raw]


def streamed(
    pieces: Iterable[bytes | Act], content_type: str = "application/x-ndjson"
) -> list[Act]:
    """A chunked answer; bytes become one chunk each, other acts are played between them."""
    acts: list[Act] = [head(content_type)]
    acts += [piece(one) if isinstance(one, bytes) else one for one in pieces]
    return [*acts, END]


def line(value: object) -> bytes:
    """One line of NDJSON."""
    return json.dumps(value).encode() + b"\n"


def event(value: object) -> bytes:
    """One event of SSE."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


STATS = {
    "total_duration": 50_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 5,
    "prompt_eval_duration": 2_000_000,
    "eval_count": 3,
    "eval_duration": 4_000_000,
}


def ollama_line(content: str = "", **message: Any) -> bytes:
    """One `done: false` line of /api/chat."""
    body = {"role": "assistant", "content": content, **message}
    return line(
        {"model": "tiny", "created_at": "2026-01-01T00:00:00Z", "message": body, "done": False}
    )


def ollama_end(reason: str = "stop") -> bytes:
    """The last line of /api/chat."""
    return line(
        {
            "model": "tiny",
            "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": reason,
            **STATS,
        }
    )


def ollama_chat(*words: str, reason: str = "stop") -> list[Act]:
    """A good /api/chat answer that says these words."""
    return streamed([*map(ollama_line, words), ollama_end(reason)])


def delta(content: str | None = None, **fields: Any) -> bytes:
    """One SSE event of /v1/chat/completions."""
    choice = {"index": 0, "delta": {"content": content, **fields}, "finish_reason": None}
    return event({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]})


def finish(reason: str = "stop") -> bytes:
    """The event with the finish reason."""
    return event({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


def usage(prompt: int = 5, completion: int = 3, **fields: Any) -> bytes:
    """The usage event that `stream_options.include_usage` asks for."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return event({"id": "c1", "choices": [], "usage": counts, **fields})


SSE_END = b"data: [DONE]\n\n"


def openai_chat(*words: str, reason: str = "stop") -> list[Act]:
    """A good /v1/chat/completions answer that says these words."""
    body = [delta("", role="assistant"), *map(delta, words), finish(reason), usage(), SSE_END]
    return streamed(body, "text/event-stream")


class Upstream:
    """The server; see the module's text."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._replies: dict[str, list[Answer]] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, *replies: Answer) -> None:
        """Answer `path` with these replies in order; the last one is repeated."""
        self._replies[path] = list(replies)

    def asked(self, path: str) -> list[Request]:
        """The requests for one path, oldest first."""
        return [request for request in self.requests if request.path == path]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while request := await read_request(reader):
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if writer.is_closing() else writer.close()

    def _reply(self, request: Request) -> Reply:
        replies = self._replies.get(request.path.partition("?")[0])
        if not replies:
            return whole(b"404 page not found", "404 Not Found", "text/plain")
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply(request) if callable(reply) else reply

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Play the reply; True when the connection may be used again."""
        reply = self._reply(request)
        play = asyncio.ensure_future(self._play(reply, writer, request.method == "HEAD"))
        leave = asyncio.ensure_future(client_left(reader))
        try:
            await asyncio.wait({play, leave}, return_when=asyncio.FIRST_COMPLETED)
            if not play.done():
                request.abandoned.set()
            return play.done() and play.exception() is None and play.result()
        finally:
            for task in (play, leave):
                task.cancel()
            await asyncio.gather(play, leave, return_exceptions=True)

    async def _play(self, reply: Reply, writer: asyncio.StreamWriter, bare: bool) -> bool:
        for act in reply:
            match act:
                case bytes() as data:
                    writer.write(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if bare else data)
                    await writer.drain()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Hold(event):
                    await event.wait()
                case Hang():
                    await asyncio.Event().wait()
                case Reset():
                    writer.transport.abort()
                    return False
        return is_complete(reply)


def is_complete(reply: Reply) -> bool:
    """Whether the reply leaves the connection in a state to be used again."""
    data = b"".join(act for act in reply if isinstance(act, bytes))
    if b"chunked" in data:
        return data.endswith(END)
    top, _, body = data.partition(b"\r\n\r\n")
    return f"content-length: {len(body)}\r\n".encode() in top.lower() + b"\r\n"


async def client_left(reader: asyncio.StreamReader) -> None:
    """Return when the client closed its side (nobody pipelines here)."""
    while not reader.at_eof():
        try:
            if not await reader.read(1):
                return
        except ConnectionError:
            return


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """One HTTP/1.1 request, or None at the end of the connection."""
    try:
        top = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = top.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (row.split(":", 1) for row in rest if ":" in row)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    return Request(method, path, headers, await read_body(reader, headers))


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The request's body, by length or chunked."""
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


@contextmanager
def upstream_in_thread(
    prepare: Callable[[Upstream], None] = lambda _: None,
) -> Iterator[Upstream]:
    """The same server in a thread with a loop of its own, for tests that are not async."""
    upstream = Upstream()
    prepare(upstream)
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with upstream:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
