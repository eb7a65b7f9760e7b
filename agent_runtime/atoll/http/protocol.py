"""uvicorn's httptools protocol with the limits that it does not have by itself.

httptools takes headers of any size and number, two Hosts or none, and waits for
ever for half a request (attacks.md section 0.1, all measured). Here every
request has a bounded head, exactly one Host (RFC 9112 section 3.2), a path as
its target, and a deadline for head and body.
"""

import asyncio
import enum
import http
from collections.abc import Callable
from importlib import import_module
from typing import ClassVar, cast

import msgspec
from msgspec import Struct
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from atoll.http.corked import Corked
from atoll.http.hangup import Hangup


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one connection; times in seconds, sizes in bytes.

    A body must bring `body_min` bytes in every `body_window`. `request_bytes`
    bounds what a chunked body may send in all, framing included. After an
    answer that came before the body's end the client may send on for `linger`,
    so that it can read the answer (RFC 9112 section 9.6). A client that reads
    nothing for `write_timeout` is dropped: it would hold a turn's place for ever.
    A WebSocket is pinged every `ping_interval` and given up when no answer comes
    within `ping_timeout`.
    """

    head_bytes: int = 64 * 1024
    head_count: int = 128
    head_timeout: float = 10.0
    body_window: float = 30.0
    body_min: int = 16 * 1024
    request_bytes: int = 64 * 1024 * 1024
    linger: float = 5.0
    write_timeout: float = 60.0
    keep_alive: int = 75
    ping_interval: float = 20.0
    ping_timeout: float = 20.0


class _Phase(enum.Enum):
    HEAD = "waiting for, or reading, a request's head"
    BODY = "reading its body"


class _Refused(Exception):
    """Stops the parser; `_refusal` says by then what the client is told."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, bounded by the class attribute `limits`; it may become a WebSocket."""

    limits: ClassVar[Limits] = Limits()
    upgrades: ClassVar[bool] = False

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._hangup = Hangup()
        self._phase = _Phase.HEAD
        self._refusal = (400, "invalid HTTP request")
        self._begun = False
        self._over = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._window_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._arm(self.limits.head_timeout, self._head_is_late)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        whole = cast("asyncio.Transport", transport)  # uvloop's have its methods, not its class
        super().connection_made(Corked(whole, self.loop))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._disarm()
        self._flowing()
        super().connection_lost(exc)
        self._hangup.tell()

    def data_received(self, data: bytes) -> None:
        """Count what came, let the parser have it, then see what is still to come.

        A request that arrives whole never costs a timer.
        """
        if self._over:
            return
        if self._phase is _Phase.HEAD:
            self._head_bytes += len(data)
        else:
            self._body_bytes += len(data)
            self._window_bytes += len(data)
        super().data_received(data)
        if not (self._over or self.transport.is_closing()):
            self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = self._hangup.extensions

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header is complete; trailers of a chunked body are dropped (RFC 9110 6.5.1)."""
        if self._phase is _Phase.BODY:
            return
        super().on_header(name, value)
        if len(self.headers) > self.limits.head_count:
            raise self._refused(431, f"more than {self.limits.head_count} headers")

    def on_headers_complete(self) -> None:
        """The head is complete: judge it before anything is started."""
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        if size > self.limits.head_bytes:
            raise self._refused(431, f"the head is over {self.limits.head_bytes} bytes")
        if hosts != 1:
            raise self._refused(400, "a request needs exactly one Host header")
        if not self.url.startswith(b"/"):
            raise self._refused(400, "the request target must be a path")
        self._disarm()
        self._phase = _Phase.BODY
        self._head_bytes = self._body_bytes = self._window_bytes = 0
        before = self.cycle
        super().on_headers_complete()
        self._begun = self._begun or self.cycle is not before  # an upgrade makes no cycle

    def handle_websocket_upgrade(self) -> None:
        """The connection goes on as a WebSocket; one with an answer still under way may not.

        Few agents ever see one, so what it takes is imported by the first.
        """
        if self._begun and not self.cycle.response_complete:
            self._answer_and_close(400, "a WebSocket cannot begin before the last answer's end")
            return
        self._flowing()
        self.ws_protocol_class = import_module("atoll.http.websocket").websocket_with(self.limits)
        super().handle_websocket_upgrade()

    def _should_upgrade_to_ws(self) -> bool:
        return self.upgrades

    def on_message_complete(self) -> None:
        """The body is complete."""
        self._phase = _Phase.HEAD
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out; a client that still sends gets a while to notice."""
        super().on_response_complete()
        if self._phase is _Phase.BODY and self.cycle.response_complete:
            self._arm(self.limits.linger, self.transport.close)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._flowing()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words, not ours
        """Tell why the parser stopped; uvicorn calls this for every parser error."""
        self._answer_and_close(*self._refusal)

    def _watch(self) -> None:
        limits = self.limits
        if self._phase is _Phase.BODY:
            if self._body_bytes > limits.request_bytes:
                self._answer_and_close(413, "the request is too large")
            elif self._timer is None:
                self._arm(limits.body_window, self._body_window_over)
        elif self._head_bytes > limits.head_bytes:
            self._answer_and_close(431, f"the head is over {limits.head_bytes} bytes")
        elif self._head_bytes and self._timer is None:
            self._arm(limits.head_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        self._answer_and_close(408, f"no whole head within {self.limits.head_timeout:g} s")

    def _body_window_over(self) -> None:
        starved = self._window_bytes < self.limits.body_min
        if starved and not self.flow.read_paused:
            self._answer_and_close(408, "the body came too slowly")
            return
        self._window_bytes = 0
        self._arm(self.limits.body_window, self._body_window_over)

    def _refused(self, status: int, message: str) -> _Refused:
        self._refusal = (status, message)
        return _Refused(message)

    def _answer_and_close(self, status: int, message: str) -> None:
        """Tell what is wrong, and read on without looking for `linger`: closing on unread bytes
        would be a reset, which takes the answer away from the client (RFC 9112 section 9.6)."""
        answering, self._over = self._answering(), True
        if self._begun:
            self.cycle.disconnected = True  # the application has nobody to answer any more
            self.cycle.message_event.set()
            self._hangup.tell()
        if answering or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write(_answer(status, message))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._arm(self.limits.linger, self.transport.close)

    def _answering(self) -> bool:
        """Whether some of an answer is out already, so that another would corrupt it."""
        return self._begun and self.cycle.response_started and not self.cycle.response_complete

    def _flowing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def protocol_with(given: Limits, *, websockets: bool = False) -> type[BoundedProtocol]:
    """The protocol class with other limits; uvicorn makes the instances itself."""

    class Protocol(BoundedProtocol):
        limits = given
        upgrades = websockets

    return Protocol


def _answer(status: int, message: str) -> bytes:
    body = msgspec.json.encode({"error": message})
    lines = (
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
