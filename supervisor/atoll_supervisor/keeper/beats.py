"""Heartbeats: who beats, who has fallen silent.

The first word on a channel is heard at once, because it is READY=1; those after
it are gathered every `TICK`, so that 500 units wake the keeper twice a second
and not 500 times. A beat like the one before costs one recv and one comparison.
A unit that talks too much is heard no faster.
"""

import select
import socket
import time
from collections.abc import Callable

from atoll_supervisor.keeper.channel import MAX_SAID, Said, hear
from atoll_supervisor.keeper.eventloop import Loop

TICK = 0.5
SWEEP = 1.0
SILENCE = 3.0
"""Seconds without a beat that are a hang."""
_MOST = 16
"""Datagrams that are heard of one unit in a tick; an honest one sends half of one."""

Heard = Callable[[Said], None]
Turned = Callable[[], None]


class Beats:
    """The channels of all units."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._slow: dict[int, Channel] = {}
        self._open: set[Channel] = set()
        self._swept = time.monotonic()
        loop.call_later(SWEEP, self._sweep)

    def open(self, sock: socket.socket, heard: Heard, turned: Turned) -> "Channel":
        """Listen to a unit; `turned` is called when it falls silent or beats again."""
        channel = Channel(self, sock, heard, turned)
        self._open.add(channel)
        return channel

    def slow_down(self, channel: "Channel", fd: int) -> None:
        """From now on this channel is heard once a tick."""
        if not self._slow:
            self.loop.call_later(TICK, self._tick)
        self._slow[fd] = channel
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, channel: "Channel", fd: int) -> None:
        """Before it is closed."""
        self._open.discard(channel)
        if self._slow.pop(fd, None):
            self._epoll.unregister(fd)

    def _tick(self) -> None:
        self._gather()
        if self._slow:
            self.loop.call_later(TICK, self._tick)

    def _gather(self) -> None:
        now = time.monotonic()
        for fd, _ in self._epoll.poll(0):
            if channel := self._slow.get(fd):
                channel.read(now)

    def _sweep(self) -> None:
        """Judge who is silent, unless it was us who were stopped, or the whole machine."""
        now = time.monotonic()
        paused = now - self._swept > 2 * SWEEP
        self._swept = now
        self.loop.call_later(SWEEP, self._sweep)
        self._gather()
        for channel in self._open:
            channel.judge(now, paused)


class Channel:
    """Our end of one unit's channel. `beats` once it has sent a beat, so that silence counts."""

    def __init__(self, beats: Beats, sock: socket.socket, heard: Heard, turned: Turned) -> None:
        self.beats = False
        self.silent = False
        self._all = beats
        self._sock = sock
        self._heard = heard
        self._turned = turned
        self._before = b""
        self._last = 0.0
        beats.loop.watch(sock.fileno(), self._first)

    @property
    def silence(self) -> float:
        """Seconds without a beat, 0 while it beats."""
        return time.monotonic() - self._last if self.silent else 0.0

    def read(self, now: float) -> None:
        """Hear what there is, as far as it is decent."""
        for _ in range(_MOST):
            if not self._read_one(now):
                break

    def judge(self, now: float, paused: bool) -> None:
        """Notice silence and its end; after a pause of ours everybody has time again."""
        if paused:
            self._last = now
        silent = self.beats and now - self._last > SILENCE
        if silent != self.silent:
            self.silent = silent
            self._turned()

    def close(self) -> None:
        """Hear what it still said, and let go."""
        if self._sock.fileno() >= 0:
            self._last = now = time.monotonic()
            self.read(now)
        self._close()

    def _first(self) -> None:
        fd = self._sock.fileno()
        self._all.loop.unwatch(fd)
        self._all.slow_down(self, fd)
        self.read(time.monotonic())

    def _read_one(self, now: float) -> bool:
        """Whether more may have come: who beats as it should has said but one thing since."""
        try:
            datagram = self._sock.recv(MAX_SAID)
        except BlockingIOError:
            return False
        except OSError:
            datagram = b""
        if not datagram:
            self._ended()
            return False
        if datagram == self._before and self.beats:
            is_early = now - self._last < TICK / 2
            self._last = now
            return is_early
        self._take(datagram, now)
        return True

    def _take(self, datagram: bytes, now: float) -> None:
        said = hear(datagram)
        if said.beat:
            self._before = datagram
            self._last = now
            self.beats = True
        if said.stopping:
            self.beats = False  # its loop is about to end: from now on silence is no hang
        self._heard(said)

    def _ended(self) -> None:
        """It closed the channel, which is no death; but it can beat no more."""
        self.beats = False
        self._close()
        self._turned()

    def _close(self) -> None:
        if (fd := self._sock.fileno()) >= 0:
            self._all.loop.unwatch(fd)
            self._all.forget(self, fd)
            self._sock.close()
