"""What a unit says of itself: datagrams in the spelling of sd_notify(3). Pure."""

from typing import NamedTuple

MAX_SAID = 4096
MAX_STATUS = 500
"""Bytes of a status that are kept."""


class Said(NamedTuple):
    """One datagram; what it did not mention has its default."""

    ready: bool = False
    beat: bool = False
    draining: bool = False
    stopping: bool = False
    in_flight: int = 0
    lag_ms: int = 0
    active: float = 0.0
    status: str | None = None


def hear(datagram: bytes) -> Said:
    """Understand a datagram; what cannot be understood counts as not said."""
    pairs = (line.partition(b"=") for line in datagram.split(b"\n"))
    words = {name: value for name, _, value in pairs}
    return Said(
        ready=words.get(b"READY") == b"1",
        beat=words.get(b"WATCHDOG") == b"1",
        draining=words.get(b"DRAINING") == b"1",
        stopping=words.get(b"STOPPING") == b"1",
        in_flight=_whole(words.get(b"IN_FLIGHT", b"")),
        lag_ms=_whole(words.get(b"LAG_MS", b"")),
        active=_seconds(words.get(b"ACTIVE", b"")),
        status=_text(words.get(b"STATUS")),
    )


def _whole(text: bytes) -> int:
    """A count; no longer than a number that JSON carries exactly."""
    return int(text) if text.isdigit() and len(text) <= 15 else 0


def _text(said: bytes | None) -> str | None:
    """Words for a person; None when nothing was said, which leaves the last ones true."""
    return None if said is None else said[:MAX_STATUS].decode(errors="replace")


def _seconds(text: bytes) -> float:
    return float(text) if text.replace(b".", b"", 1).isdigit() and len(text) <= 32 else 0.0
