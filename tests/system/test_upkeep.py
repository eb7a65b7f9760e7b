"""New manifests and new code under a fleet that runs: `atoll reload` and `atoll upgrade`."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, are_gone, eventually, running
from tests.fakes.hammer import hammering

pytestmark = pytest.mark.anyio

AS_SYSTEMD = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "atoll_supervisor", "up"])
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    add_agent(daemon.agents, "CustomAgent")
    return daemon


async def test_a_new_runtime_takes_the_fleet_over_without_losing_a_request(daemon: Daemon) -> None:
    add_agent(daemon.agents, "Own", '[deployment]\nspawn = "exec"\n')
    with running(daemon):
        before = daemon.units()
        async with hammering(daemon.base_port) as met:
            done = await asyncio.to_thread(daemon.run, "reload", "--runtime")
            for slug in ("customagent", "ghidraagent"):
                await asyncio.to_thread(daemon.wait_for, slug, generation=2, phase="running")
        assert done.returncode == 0, done.stderr
        assert "2 agents move to the new runtime" in done.stdout
        assert (met.failures, met.dropped) == ([], 0)
        after = daemon.units()
        assert after["own"] == before["own"], "it has an interpreter of its own"
        assert not set(after.values()) & {before["customagent"], before["ghidraagent"]}
        assert "the runtime was reloaded" in daemon.run("events", "ghidraagent").stdout


def test_reload_reads_the_manifests_again_and_shows_what_is_wrong(daemon: Daemon) -> None:
    with running(daemon):
        before = daemon.units()
        assert daemon.run("reload").returncode == 0
        (daemon.agents / "ghidraagent" / "agent.toml").write_text("[agent\n")
        broken = daemon.run("reload", "ghidraagent")
        assert broken.returncode == 5
        assert "agent.toml:1:" in broken.stdout
        assert daemon.run("reload", "nobody").returncode == 4
        assert daemon.units() == before


def test_an_upgrade_to_code_that_does_not_start_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    class Upgraded(Daemon):
        @property
        def environment(self) -> dict[str, str]:
            return super().environment | {"PYTHONPATH": str(tmp_path / "new")}

    daemon = Upgraded(tmp_path)
    add_agent(daemon.agents, "Only")
    with running(daemon):
        before, health = daemon.units(), daemon.get("/health").json()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "uvloop.py").write_text("raise ImportError('half installed')\n")
        refused = daemon.post("/api/v1/upgrade")
        assert refused.status_code == 500
        assert "half installed" in refused.json()["detail"]
        assert daemon.get("/health").json()["instance_id"] == health["instance_id"]
        assert daemon.units() == before


def test_a_socket_of_systemd_is_served_kept_over_an_upgrade_and_given_back(
    daemon: Daemon, tmp_path: Path
) -> None:
    with socket.socket() as given:
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        given.bind(("127.0.0.1", daemon.api_port))
        given.listen()
        with daemon.log.open("ab") as log, daemon.out.open("wb") as out:
            daemon.process = subprocess.Popen(
                [sys.executable, "-c", AS_SYSTEMD, str(given.fileno())],
                pass_fds=[given.fileno()],
                env=daemon.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        try:
            eventually(lambda: b"Management:" in daemon.out.read_bytes())
            before = daemon.units()
            done = daemon.run("upgrade")
            assert done.returncode == 0, done.stderr
            assert daemon.units() == before
            for pid in before.values():
                environ = Path(f"/proc/{pid}/environ").read_bytes()
                assert b"LISTEN_PID" not in environ
            tree = daemon.tree()
            assert daemon.stop() == 0
            assert are_gone(tree)
        finally:
            daemon.end()
        with socket.create_connection(("127.0.0.1", daemon.api_port), timeout=5):
            pass  # it is systemd's, and still listens
