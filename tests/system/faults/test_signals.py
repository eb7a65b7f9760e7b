"""Rows 35 to 38: signals to the daemon, and what it says to a service manager."""

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes.daemon import Daemon, add_agent, are_gone, eventually, is_alive, running
from tests.fakes.holds import all_healthy, rows_of, watching

NEVER_DONE = '[[turn]]\nchunks = ["a", "b"]\ndelay = 60\n'
GRACE = 20
"""Seconds that the agent of row 36 may drain; a second signal does not wait for that."""
BLOCKED = """
import signal, sys, time
if "up" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(60))
"""
"""A `sitecustomize` by which a signal blocks the daemon's loop for a minute."""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Lower")
    return daemon


def signal_to(daemon: Daemon, number: int) -> None:
    os.kill(_pid(daemon), number)


def nothing_is_left(daemon: Daemon, tree: list[psutil.Process]) -> None:
    """Of a daemon that has ended: no process, no keeper, and nobody on a port."""
    assert are_gone(tree)
    with pytest.raises(OSError, match="No such file"):
        assert daemon.keeper
    for port in range(daemon.base_port, daemon.api_port + 1):
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", port)) != 0, port


def slow(daemon: Daemon, name: str, above: str) -> str:
    """An agent that never gets up, and starts after another one; its slug."""
    more = f'[tools]\npython = "tools.py"\n[sub_agents.below]\nagent = "{above}"\n'
    manifest = add_agent(daemon.agents, name, more)
    (manifest.parent / "tools.py").write_text("import time\ntime.sleep(300)\n")
    return name.lower()


@pytest.mark.parametrize("moment", ["first", "last"])
def test_row_35_told_to_go_while_agents_start_it_ends_dependants_first_and_exits_0(
    daemon: Daemon, moment: str
) -> None:
    """At the first sign of life, and when one is up, one starts and one waits for that."""
    add_agent(daemon.agents, "Middle", '[sub_agents.below]\nagent = "lower"\n')
    slow(daemon, "Upper", "middle")
    slow(daemon, "Uppermost", "upper")
    with running(daemon, settled=False):
        if moment == "last":
            eventually(lambda: daemon.row("upper")["pid"] is not None)
            assert daemon.row("middle")["phase"] == "running"
            assert daemon.row("uppermost")["status"] == "discovered"
        tree = daemon.tree()
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 30, "the grace of a unit"
        nothing_is_left(daemon, tree)
        if moment == "last":
            upper, middle, lower = (_stopping(daemon, slug) for slug in CHAIN)
            assert upper[-1] < middle[0] < middle[-1] < lower[0], "each after those above it"


CHAIN = ("upper", "middle", "lower")


def _stopping(daemon: Daemon, slug: str) -> list[int]:
    """The numbers of the events from being told to go until it was gone."""
    with closing(sqlite3.connect(daemon.state / "atoll.db")) as db:
        query = "select id, happening from event where unit = ? order by id"
        told = [(number, json.loads(text)) for number, text in db.execute(query, (slug,))]
    return [number for number, event in told if event["after"] in GOING]


GOING = ("draining", "stopping", "stopped")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("twice", [signal.SIGTERM, signal.SIGINT])
def test_row_36_a_second_signal_kills_at_once_and_many_hangups_are_one_look(
    daemon: Daemon, twice: signal.Signals
) -> None:
    manifest = add_agent(daemon.agents, "Busy", f"[deployment]\nstop_timeout = {GRACE}\n")
    (manifest.parent / "script.toml").write_text(NEVER_DONE)
    with running(daemon):
        with watching(daemon):
            for _ in range(100):
                signal_to(daemon, signal.SIGHUP)
            add_agent(daemon.agents, "Newcomer")
            signal_to(daemon, signal.SIGHUP)
            daemon.wait_for("newcomer", phase="running")
            looks = daemon.log.read_text().count("reading the agents directory again")
            assert 1 <= looks < 50, "signals that come together are heard as one"
        hanging = threading.Thread(target=_ask, args=(daemon,))
        hanging.start()
        eventually(lambda: daemon.row("busy")["in_flight"] == 1)
        tree = daemon.tree()
        signal_to(daemon, twice)
        daemon.wait_for("busy", phase="draining")
        began = time.monotonic()
        signal_to(daemon, twice)
        assert daemon.stop(twice) == 0
        assert time.monotonic() - began < GRACE / 2
        nothing_is_left(daemon, tree)
        hanging.join(30)


def _ask(daemon: Daemon) -> None:
    """It is cut off, which is what the test wants."""
    with suppress(httpx.HTTPError):
        daemon.chat(daemon.row("busy")["port"])


class Managed(Daemon):
    """A daemon that believes to be run by systemd; we are told by a socket."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder)
        self.address = address
        self.limit = 4.0
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(BLOCKED)

    @property
    def environment(self) -> dict[str, str]:
        told = {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(self.limit * 1e6))}
        return super().environment | told | {"PYTHONPATH": str(self.state.parent / "site")}


class Manager:
    """What systemd hears."""

    def __init__(self, address: str) -> None:
        self.heard: list[str] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address.replace("@", "\0", 1))

    def next(self, limit: float) -> str | None:
        """What is said within `limit` seconds."""
        self._sock.settimeout(limit)
        try:
            self.heard.append(self._sock.recv(4096).decode())
        except TimeoutError:
            return None
        return self.heard[-1]

    def until(self, text: str, limit: float = 30.0) -> None:
        end = time.monotonic() + limit
        while self.next(max(0.01, end - time.monotonic())) != text:
            assert time.monotonic() < end, f"never heard {text}: {self.heard}"

    def close(self) -> None:
        self._sock.close()


@pytest.mark.timeout(120)
def test_row_37_a_blocked_loop_feeds_no_watchdog_and_the_next_daemon_finds_all_agents(
    tmp_path: Path,
) -> None:
    """The manager's part is played here; `test_systemd.py` has a real one do it."""
    daemon = Managed(tmp_path, str(tmp_path / "notify"))
    add_agent(daemon.agents, "Lower")
    with closing(Manager(daemon.address)) as manager, running(daemon):
        with watching(daemon) as watch:
            manager.until("READY=1")
            for _ in range(3):
                manager.until("WATCHDOG=1", daemon.limit)
            with watch.daemon_away():
                signal_to(daemon, signal.SIGUSR1)
                while manager.next(daemon.limit) is not None:
                    assert len(manager.heard) < 50, "it is fed, though the loop is blocked"
                assert daemon.process is not None
                assert daemon.process.poll() is None, "it lives and hangs"
                assert daemon.chat(daemon.base_port) == "Hello from Lower"
                assert daemon.stop(signal.SIGABRT) == -signal.SIGABRT
                daemon.start()
            manager.until("READY=1")
            manager.until("WATCHDOG=1", daemon.limit)
            assert rows_of(daemon)["lower"]["restarts"] == 0
        assert daemon.stop() == 0
        manager.until("STOPPING=1")


ADDRESSES = ("file", "@abstract", "unwritable", "absent", "nobody", "relative", "folder", "long")


@pytest.mark.timeout(120)
def test_row_38_whatever_the_notify_socket_is_the_daemon_works_and_no_child_has_it(
    tmp_path: Path,
) -> None:
    daemon = Managed(tmp_path, "")
    add_agent(daemon.agents, "Forked")
    add_agent(daemon.agents, "Made", '[deployment]\nspawn = "exec"\n')
    try:
        for kind in ADDRESSES:
            daemon.address = _address(tmp_path, kind)
            with _manager(kind, daemon.address) as manager:
                daemon.start()
                if manager is not None and kind != "unwritable":
                    manager.until("READY=1")
                for slug in ("forked", "made"):  # by a daemon that has this address
                    daemon.post(f"/api/v1/agents/{slug}/restart").raise_for_status()
                all_healthy(daemon)
                for process in daemon.tree():
                    assert not process.environ().keys() & {"NOTIFY_SOCKET", "WATCHDOG_USEC"}, kind
                assert is_alive(psutil.Process(_pid(daemon)))
                daemon.stop(signal.SIGTERM if kind == ADDRESSES[-1] else signal.SIGKILL)
        assert daemon.process is not None
        assert daemon.process.returncode == 0
        assert "Traceback" not in daemon.log.read_text()
    finally:
        daemon.end()


@contextmanager
def _manager(kind: str, address: str) -> Iterator[Manager | None]:
    """Somebody who listens, where there can be one."""
    if kind not in ("file", "@abstract", "unwritable"):
        yield None
        return
    with closing(Manager(address)) as manager:
        if kind == "unwritable":
            Path(address).chmod(0)
        yield manager


def _pid(daemon: Daemon) -> int:
    assert daemon.process is not None
    return daemon.process.pid


def _address(folder: Path, kind: str) -> str:
    match kind:
        case "absent":
            return ""
        case "@abstract":
            return f"@atoll-{folder.name}-{os.getpid()}"
        case "relative":
            return "notify"
        case "folder":
            return str(folder)
        case "long":
            return "/" + "long" * 50
        case _:
            return str(folder / kind)
