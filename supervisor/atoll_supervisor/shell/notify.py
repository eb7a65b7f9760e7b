"""What the daemon tells systemd about itself (sd_notify(3), sd_watchdog_enabled(3)).

Nothing here fails and nothing waits: a daemon that nobody started that way, or
whose socket has gone, works all the same.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

_SOCKET = "NOTIFY_SOCKET"
_LIMIT = "WATCHDOG_USEC"
_PID = "WATCHDOG_PID"


class Notifier:
    """Datagrams to the service manager; without an address they go nowhere."""

    def __init__(self, address: str = "", interval: float | None = None) -> None:
        self.interval = interval
        """Seconds between two calls of `watchdog`: half of what systemd allows; None = no need."""
        self._address = _spelt(address)
        self._status = ""

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """Take the three variables out of `environ`, so that no child speaks in our name."""
        address = environ.pop(_SOCKET, "")
        limit, pid = environ.pop(_LIMIT, ""), environ.pop(_PID, "")
        return cls(address, _interval(limit, pid))

    def ready(self) -> None:
        """The management port answers and every unit is on its way; also the end of `reloading`."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; the same line again is not sent."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def reloading(self) -> None:
        """The agents directory is read again; a later `ready` ends it (`Type=notify-reload`)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The daemon drains its units and goes."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """The loop that supervises is alive: to be called from that loop, and from nowhere else."""
        if self.interval is not None:
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        """One datagram, or none: a full queue or a socket that is not there is not our fault."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(errors="replace"), self._address)


def _spelt(address: str) -> str:
    """As connect(2) wants it: `@name` is the abstract `\\0name`; what is no address is none."""
    if address.startswith("@"):
        return "\0" + address[1:]
    return address if address.startswith("/") else ""


def _interval(limit: str, pid: str) -> float | None:
    """Half of the microseconds in `limit`, if they are meant for this process."""
    if pid and pid != str(os.getpid()):
        return None
    if not (limit.isascii() and limit.isdigit()):
        return None
    return int(limit) / 2_000_000 or None
