"""uvicorn's WebSocket protocol with the limits that it does not have by itself (RFC 6455).

Built on its sans-I/O implementation, which stands on the package websockets:
the older one is on its way out, wsproto does no pings. Not bounded there: a
client that never reads, an unfinished handshake, fragments without a byte in
them, and pings whose answers nobody takes. Imported by the first upgrade.
"""

import asyncio
from typing import ClassVar

from uvicorn import Config
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from atoll.http.protocol import Limits

RESTART = 1012
"""Close code "Service Restart"; to the application: finish what you say, then close with it."""

_INVALID, _ABUSE, _TOO_BIG, _UNREACHABLE = 1007, 1008, 1009, 1011
MOST_FRAMES = 4096
"""In one read, of 256 KiB at most: more are a flood, and keep others waiting."""
MOST_FRAGMENTS = 1024
"""Of one message; an empty one costs a client six bytes and us more."""
_REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection after its upgrade, bounded by the class attribute `limits`."""

    limits: ClassVar[Limits] = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.close_timeout = self.limits.linger
        self._over = False
        self._stalled: asyncio.TimerHandle | None = None
        self._last: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        for timer in (self._stalled, self._last):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read frames; the first data is the handshake, whole."""
        if self._over:
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or _REFUSED)
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message; raises ClientDisconnected also once the connection was given up."""
        await self.writable.wait()
        if self._over:
            raise ClientDisconnected
        await super().send(message)

    def handle_events(self) -> None:
        """What one read gave."""
        if len(self.conn.events) > MOST_FRAMES:
            self._fail(_ABUSE, "a flood of frames")
        else:
            super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        """One more fragment."""
        if len(self.frames) < MOST_FRAGMENTS:
            super().handle_cont(event)
        else:
            self._fail(_TOO_BIG, f"over {MOST_FRAGMENTS} fragments")

    def send_receive_event_to_app(self) -> None:
        """A message is complete; uvicorn would log a text that is none with a traceback."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self._fail(_INVALID, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless earlier answers wait to be read: so a flood of pings fills no memory."""
        if self.writable.is_set() and not self._over:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_parser_exception(self) -> None:
        """Say why it ends, and read on without looking for `linger`, as BoundedProtocol does:
        closing on unread bytes is a reset, which takes the close frame away from the client."""
        if self._over:
            return
        self._over = self.close_sent = True
        closed = self.conn.close_sent
        code = closed.code if closed else _INVALID
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        self._let_go(self.limits.linger)

    def keepalive_timeout(self) -> None:
        """No pong came: uvicorn does not tell the application, and waits for a full buffer."""
        super().keepalive_timeout()
        self._over = True
        self._let_go(self.limits.linger)
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": _UNREACHABLE, "reason": "no pong"}
        )

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done; a client that reads nothing cannot hold the connection."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._let_go(self.limits.write_timeout)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def shutdown(self) -> None:
        """The server leaves: the application is told by RESTART, and closes when it has spoken."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait(
                {"type": "websocket.disconnect", "code": RESTART, "reason": "the server leaves"}
            )
        else:
            super().shutdown()

    def _let_go(self, seconds: float) -> None:
        if self._last is None:
            self._last = self.loop.call_later(seconds, self.transport.abort)

    def _fail(self, code: int, reason: str) -> None:
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def websocket_with(given: Limits) -> type[BoundedWebSocket]:
    """The protocol class with other limits."""

    class Protocol(BoundedWebSocket):
        limits = given

    return Protocol


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
