"""How a supervised process tells its keeper what it is about.

Datagrams in the spelling of sd_notify(3) on a socket of type SOCK_SEQPACKET,
whose number is in `ATOLL_CHANNEL_FD`. Nothing is ever waited for: a keeper that
does not read loses words, and one that is gone is found out by the next word.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress

from msgspec import Struct

from atoll.errors import AtollError

BEAT = 1.0
"""Seconds between two beats."""
LAG_STEP = 50
"""Milliseconds to which a lag is rounded down, so that the beats of an idle loop are equal."""

_VARIABLE = "ATOLL_CHANNEL_FD"
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class KeeperGone(Exception):
    """Nobody is at the channel's other end, so there is nobody to run for."""


class NoChannel(AtollError):
    """`ATOLL_CHANNEL_FD` names something that is no channel."""

    code = "no_channel"
    who = "client"


class Pulse(Struct, frozen=True):
    """What a beat tells: open requests, and CLOCK_MONOTONIC of the last one, 0 for never."""

    in_flight: int = 0
    active: float = 0.0


class Channel:
    """Says things to the keeper; without a socket it says them to nobody.

    Every method but `close` raises KeeperGone.
    """

    def __init__(self, sock: socket.socket | None = None) -> None:
        self._sock = sock

    @property
    def heard(self) -> bool:
        """Whether there is a keeper at all."""
        return self._sock is not None

    def ready(self) -> None:
        """It serves."""
        self._say("READY=1")

    def beat(self, pulse: Pulse, lag_ms: int = 0) -> None:
        """Its event loop turns; `lag_ms` is how late this word is."""
        self._say(
            f"WATCHDOG=1\nIN_FLIGHT={pulse.in_flight}\n"
            f"LAG_MS={lag_ms // LAG_STEP * LAG_STEP}\nACTIVE={pulse.active:.3f}"
        )

    def status(self, text: str) -> None:
        """What keeps it from being ready, in one line for a person; "" when nothing does."""
        self._say(f"STATUS={' '.join(text.split())}")

    def draining(self) -> None:
        """It takes no new work."""
        self._say("DRAINING=1")

    def stopping(self) -> None:
        """It has nothing left to wait for and ends."""
        self._say("STOPPING=1")

    def close(self) -> None:
        """Give the channel up."""
        if self._sock is not None:
            self._sock.close()

    def _say(self, words: str) -> None:
        if self._sock is None:
            return
        try:
            with suppress(BlockingIOError):  # a keeper that is late; the next beat says it again
                self._sock.send(f"{words}\n".encode(), _FLAGS)
        except ConnectionError as error:
            raise KeeperGone from error
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            raise KeeperGone from error


def open_channel(environ: MutableMapping[str, str]) -> Channel:
    """The channel that the environment names, which is taken out of it; raises NoChannel.

    No child of ours may pose as us: it gets neither the variable nor the descriptor.
    """
    given = environ.pop(_VARIABLE, "")
    if not given:
        return Channel()
    try:
        os.set_inheritable(int(given), False)
        return Channel(socket.socket(fileno=int(given)))
    except (ValueError, OSError) as error:
        raise NoChannel(f"{_VARIABLE} is {given!r}, which is no channel: {error}") from None


async def beating(channel: Channel, pulse: Callable[[], Pulse]) -> None:
    """Beat from this event loop until cancelled; raises KeeperGone."""
    loop = asyncio.get_running_loop()
    while channel.heard:
        due = loop.time() + BEAT
        await asyncio.sleep(BEAT)
        channel.beat(pulse(), int((loop.time() - due) * 1000))
