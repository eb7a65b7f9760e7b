"""What systemd hears from the daemon, and what it does not."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll_supervisor.shell.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """systemd's end of the socket and its spelling in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify")
    abstract = request.param == "abstract"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind("\0" + name if abstract else name)
        yield sock, "@" + name if abstract else name


def test_each_word_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    sock, address = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
    notifier.ready()
    notifier.status("2 agents\nserve")
    notifier.watchdog()
    notifier.stopping()
    heard = [sock.recv(4096) for _ in range(4)]
    assert heard == [b"READY=1", b"STATUS=2 agents serve", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_reload_carries_the_time_of_its_begin(manager: tuple[socket.socket, str]) -> None:
    """systemd tells by it which reload a later READY ends."""
    sock, address = manager
    before = time.monotonic_ns() // 1000
    Notifier(address).reloading()
    first, second = sock.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    key, value = second.split("=")
    assert key == "MONOTONIC_USEC"
    assert before <= int(value) <= time.monotonic_ns() // 1000


def test_the_same_status_is_said_once(manager: tuple[socket.socket, str]) -> None:
    sock, address = manager
    notifier = Notifier(address)
    for text in ("one", "one", "two"):
        notifier.status(text)
    assert [sock.recv(4096), sock.recv(4096)] == [b"STATUS=one", b"STATUS=two"]


def test_no_child_inherits_a_word_of_it() -> None:
    """faults.md row 38."""
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Notifier.from_environ(environ)
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("limit", "pid", "interval"),
    [
        ("30000000", None, 15.0),
        ("30000000", "ours", 15.0),
        ("30000000", "1", None),
        ("", None, None),
        ("0", None, None),
        ("soon", None, None),
        ("-5", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_must(
    limit: str, pid: str | None, interval: float | None
) -> None:
    """And not at all when it is not meant for us (sd_watchdog_enabled(3))."""
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": limit}
    if pid is not None:
        environ["WATCHDOG_PID"] = str(os.getpid()) if pid == "ours" else pid
    assert Notifier.from_environ(environ).interval == interval


@pytest.mark.parametrize(
    "address", ["", "@", "relative", "/no/such/place", "vsock:2:1", "@" + "x" * 200]
)
def test_a_socket_that_is_none_is_no_crash(address: str) -> None:
    """faults.md row 38: absent, of another kind, too long, or gone."""
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
    notifier.ready()
    notifier.watchdog()
    notifier.reloading()
    notifier.status("still here")
    notifier.stopping()


def test_a_socket_that_may_not_be_written_or_is_full_never_holds_us_up(tmp_path: Path) -> None:
    """A manager that reads nothing must not stop the loop that supervises."""
    name = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(name))
        notifier = Notifier(str(name), interval=1.0)
        begin = time.monotonic()
        for _ in range(5000):
            notifier.watchdog()
        assert time.monotonic() - begin < 20
    name.chmod(0)
    notifier.watchdog()
    name.unlink()
    notifier.watchdog()
