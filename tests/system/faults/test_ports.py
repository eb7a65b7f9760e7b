"""Ports that strangers hold, take, or answer on; ports that there are none of: rows 27 to 30."""

import http.server
import json
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.holds import watching


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "First")
    add_agent(daemon.agents, "Second")
    return daemon


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers as a healthy agent would that was started by somebody else."""

    def do_GET(self) -> None:
        body = json.dumps({"status": "healthy", "ok": True, "instance_id": "f" * 32}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def stranger(port: int) -> Iterator[None]:
    """Somebody else's server on this port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Stranger)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_row_27_a_port_that_a_stranger_holds_is_passed_over_and_told(daemon: Daemon) -> None:
    add_agent(daemon.agents, "Fixed", f"[deployment]\nport = {daemon.base_port + 7}\n")
    with stranger(daemon.base_port), stranger(daemon.base_port + 7), running(daemon):
        assert daemon.row("first")["port"] == daemon.base_port + 2
        assert daemon.row("second")["port"] == daemon.base_port + 1
        holder = f"port {daemon.base_port} is in use by "
        assert holder in daemon.run("events", "first").stdout
        assert f"pid {os.getpid()}" in daemon.run("events", "first").stdout
        taken = f"port {daemon.base_port + 7} is in use by "
        eventually(lambda: taken in str(daemon.row("fixed")["reason"]))  # between two tries
        assert daemon.row("fixed")["status"] != "running"
        with watching(daemon, broken={"fixed"}):
            assert daemon.chat(daemon.row("first")["port"]) == "Hello from First"


def test_a_daemon_whose_own_port_is_taken_says_by_whom_and_leaves_nothing(daemon: Daemon) -> None:
    with stranger(daemon.api_port):
        with pytest.raises(AssertionError, match=rf"(?s)port.*{daemon.api_port}.*--api-port"):
            daemon.start()
        daemon.end()


def test_row_28_a_port_that_is_stolen_is_never_taken_for_the_agents(daemon: Daemon) -> None:
    """While the agent crashes nobody can take its port; while nothing holds it, it moves on."""
    with running(daemon), watching(daemon, touched={"first", "second"}) as watch:
        port = daemon.base_port
        for restart in (1, 2):
            os.kill(daemon.units()["first"], signal.SIGKILL)
            with pytest.raises(OSError, match="in use"), stranger(port):
                pass
            assert daemon.wait_for("first", phase="running", restarts=restart)["port"] == port
        daemon.post("/api/v1/agents/first/stop").raise_for_status()
        with stranger(port):
            row = daemon.post("/api/v1/agents/first/start").raise_for_status().json()
            assert (row["status"], row["port"]) == ("running", port + 2)
            assert daemon.chat(row["port"]) == "Hello from First"
            assert f"port {port} is in use by " in daemon.run("events", "first").stdout
        with watch.daemon_away():
            _steal_from_a_dead_keeper(daemon, port + 1)


def _steal_from_a_dead_keeper(daemon: Daemon, port: int) -> None:
    """The daemon is stopped while the keeper dies, so that the thief is surely faster."""
    assert daemon.process is not None
    keeper = daemon.keeper
    daemon.process.send_signal(signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: _can_be_had(port))
    with stranger(port):
        daemon.process.send_signal(signal.SIGCONT)
        daemon.wait_for("second", phase="running", restarts=1, port=port + 2)
        row = daemon.row("second")
        assert row["instance_id"] == _health(row["port"])["instance_id"] != "f" * 32
        assert daemon.chat(row["port"]) == "Hello from Second"


def _can_be_had(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _health(port: object) -> dict[str, object]:
    answer: dict[str, object] = httpx.get(f"http://127.0.0.1:{port}/health", timeout=10).json()
    return answer


IMPOSTOR = """
import os
import msgspec
from atoll.loop.agent import Agent
_begin = Agent.__init__
def _lie(self, identity, *more):
    _begin(self, msgspec.structs.replace(identity, instance_id="f" * 32), *more)
if os.environ["ATOLL_GENERATION"] == "1":
    Agent.__init__ = _lie
"""


def test_row_29_an_answer_with_another_instance_id_is_no_health(daemon: Daemon) -> None:
    checks = '[tools]\npython = "tools.py"\n[deployment]\nhealth_check_interval = 0.5\n'
    manifest = add_agent(daemon.agents, "Impostor", checks)
    (manifest.parent / "tools.py").write_text(IMPOSTOR)
    with running(daemon), watching(daemon, touched={"impostor"}, handed_over={"impostor"}):
        row = daemon.wait_for("impostor", phase="running", generation=2)
        assert _health(row["port"])["instance_id"] == row["instance_id"]
        told = daemon.run("events", "impostor").stdout
        assert f"another process answers here: instance '{'f' * 32}'" in told


def test_row_30_without_a_free_port_the_agent_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    class Elsewhere(Daemon):
        """On a loopback address of its own, where nobody else has the last two ports."""

        @property
        def environment(self) -> dict[str, str]:
            return super().environment | {"ATOLL_HOST": host, "ATOLL_BASE_PORT": "65534"}

    host = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    daemon = Elsewhere(tmp_path)
    daemon.url = f"http://{host}:{daemon.api_port}"
    for name in ("A", "B", "C"):
        add_agent(daemon.agents, name)
    with running(daemon):
        assert [daemon.row(slug)["port"] for slug in "abc"] == [65534, 65535, None]
        with watching(daemon, touched={"c"}, broken={"c"}):
            left = daemon.row("c")
            assert left["status"] == "failed" or left["phase"] == "backoff"
            assert "no port is free between 65534 and 65535: free some" in str(left["reason"])
            assert "no port is free" in daemon.run("ps").stdout
        (daemon.agents / "a" / "agent.toml").unlink()
        eventually(lambda: daemon.get("/api/v1/agents/a").status_code == 404)
        daemon.post("/api/v1/agents/c/start").raise_for_status()
        with watching(daemon):
            assert daemon.wait_for("c", phase="running")["port"] == 65534
