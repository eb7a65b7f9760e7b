"""An agent that runs as a job on a cluster's node: only its relay may speak to it.

The node's port is open to the whole cluster, so every connection has to begin
with the job's key (`wire.relay`). Clients are judged as if they had come to the
relay's own address, which they have.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import ClassVar

import msgspec
from litestar.types import LifeSpanScope, Receive, Scope, Send
from msgspec import Struct
from uvicorn import Config
from uvicorn.server import ServerState

from atoll.adapters.channel import Pulse
from atoll.http.asgi import AsgiApp, send_answer
from atoll.http.protocol import BoundedProtocol, Limits
from atoll.wire.relay import FRONT, KEY, LEAVE, LONELY, Beat, greeting_of

_REFUSED = "this port is for the agent's relay alone: ask the agent at its own address"
_RELAYS_OWN = "atoll.relay"
"""Among a request's extensions when it came on a connection of the relay's own."""
_LOOK = 5.0
"""Seconds between two looks whether there is still a relay."""
_PATIENCE = 2.5
"""Seconds that an agent waits to tell its relay that it leaves; that asks every second."""
_GRACE = 0.25
"""Seconds for what the relay took before it heard that this agent leaves."""


class Front(Struct, frozen=True):
    """Where the clients of a job come in: the relay's address, its machine, and the job's key."""

    host: str
    machine: str
    key: str


def front_of(environ: MutableMapping[str, str]) -> Front | None:
    """The front that the environment names; nothing that the agent starts is to see the key."""
    key, front = environ.pop(KEY, ""), environ.pop(FRONT, "")
    host, _, machine = front.partition(" ")
    return Front(host, machine, key) if key else None


class RelayedProtocol(BoundedProtocol):
    """One connection, which has to begin with a client's greeting or the relay's own."""

    of_client: ClassVar[bytes] = b""
    of_relay: ClassVar[bytes] = b""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._held: bytes | None = b""
        self._is_relays = False

    def data_received(self, data: bytes) -> None:
        """Hold what comes until it can be told whether it is the greeting."""
        if self._held is None:
            super().data_received(data)
            return
        self._held += data
        size = len(self.of_client)
        if len(self._held) < size and b"\n" not in self._held:
            return
        greeting, rest, self._held = self._held[:size], self._held[size:], None
        self._is_relays = hmac.compare_digest(greeting, self.of_relay)
        if not (self._is_relays or hmac.compare_digest(greeting, self.of_client)):
            self._answer_and_close(401, _REFUSED)
        elif rest:
            super().data_received(rest)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._is_relays:
            self.scope["extensions"] = {**self._hangup.extensions, _RELAYS_OWN: {}}


def relayed_protocol(given: Limits, key: str, *, websockets: bool) -> type[BoundedProtocol]:
    """The protocol class of a job with this key; uvicorn makes the instances itself."""

    class Protocol(RelayedProtocol):
        limits = given
        upgrades = websockets
        of_client = greeting_of(key, "client")
        of_relay = greeting_of(key, "relay")

    return Protocol


class Attended:
    """Wraps an ASGI application: tells the relay its pulse, and hears when it is to leave.

    It serves on until the relay knows: a connection that finds its port closed is lost,
    one that waits at the relay's socket is served by the next job.
    """

    def __init__(self, app: AsgiApp, pulse: Callable[[], Pulse]) -> None:
        self._app = app
        self._pulse = pulse
        self._asked = time.monotonic()
        self._left = asyncio.Event()
        self._is_leaving = False

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan" or _RELAYS_OWN not in (scope["extensions"] or {}):
            await self._app(scope, receive, send)
            return
        self._asked = time.monotonic()
        if scope["path"] == LEAVE:
            self._left.set()
        pulse = self._pulse()
        idle = self._asked - pulse.active if pulse.active else None
        beat = Beat(pulse.in_flight, idle, self._is_leaving)
        await send_answer(send, 200, msgspec.json.encode(beat))
        if self._is_leaving:
            self._leave_after(_GRACE)

    def leave(self) -> bool:
        """A signal says so: leave as soon as the relay has heard of it; False when told before."""
        is_new = not (self._is_leaving or self._left.is_set())
        if is_new:
            self._is_leaving = True
            self._leave_after(_PATIENCE)
        return is_new

    async def until_left(self) -> str:
        """Wait until the agent is to drain; says why."""
        while time.monotonic() - self._asked < LONELY:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._left.wait()
                    who = "its job" if self._is_leaving else "its relay"
                    return f"{who} has told it to stop"
        self._left.set()
        return "no relay has asked for this agent any more: it stops"

    def _leave_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._left.set)
