"""What keeper and template say to each other."""

import os
import socket

import msgspec
from msgspec import Struct

MOST_BYTES = 256 * 1024
"""Of one packet; the kernel lets no longer one through a socket with its usual buffer."""
MOST_FDS = 4
_LEAST_FDS = 3


class Request(Struct, frozen=True, kw_only=True):
    """Fork a process that runs `argv` as `python` would.

    `mark` is its RLIMIT_RTTIME in microseconds, `name` the unit's, `keeper` the
    pid of the process that becomes its parent.
    """

    id: int
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    mark: int
    name: str
    keeper: int


class Descriptors(Struct, frozen=True, kw_only=True):
    """What the process is to hold."""

    out: int
    err: int
    channel: int
    listen: int | None = None


class Order(Struct, frozen=True):
    """A request with its descriptors, which are ours until it is done."""

    request: Request
    fds: tuple[int, ...]

    @property
    def descriptors(self) -> Descriptors:
        """By their meaning."""
        out, err, channel, *rest = self.fds
        return Descriptors(out=out, err=err, channel=channel, listen=rest[0] if rest else None)


class Unreadable(Exception):
    """A packet that is no request; `id` is its own where it could be read."""

    def __init__(self, reason: str, request_id: int = 0) -> None:
        super().__init__(reason)
        self.id = request_id


class Ready(Struct, frozen=True, kw_only=True):
    """The first word: the template can fork."""

    ready: int = 1
    pid: int
    modules: int


class Forked(Struct, frozen=True, kw_only=True):
    """The answer to a request that was done."""

    id: int
    pid: int


class Refused(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one that was not, or the last word of a template that cannot fork."""

    error: str
    id: int = 0


def receive(control: socket.socket) -> Order | None:
    """The next order, None when the keeper has closed the socket; raises Unreadable."""
    packet, fds, flags, _ = socket.recv_fds(control, MOST_BYTES, MOST_FDS)
    if not packet:
        return None
    try:
        return Order(_request(packet, fds, flags), tuple(fds))
    except Unreadable:
        close(fds)
        raise


def close(fds: list[int] | tuple[int, ...]) -> None:
    """Close our copies of what was passed."""
    for fd in fds:
        os.close(fd)


def send(control: socket.socket, answer: Ready | Forked | Refused) -> None:
    """Say something; raises OSError when the keeper is gone."""
    control.send(msgspec.json.encode(answer), socket.MSG_NOSIGNAL)


def _request(packet: bytes, fds: list[int], flags: int) -> Request:
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise Unreadable("the packet is too long, or brings too many descriptors")
    try:
        request = msgspec.json.decode(packet, type=Request)
    except msgspec.DecodeError as error:
        raise Unreadable(f"no request can be read: {error}") from error
    if len(fds) < _LEAST_FDS:
        raise Unreadable(f"{len(fds)} descriptors came with it instead of 3 or 4", request.id)
    return request
