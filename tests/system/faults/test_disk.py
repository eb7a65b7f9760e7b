"""Disks that are full, that fail, that spoil what they hold: rows 19 to 22."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.disk import OnDisk, small_disk

NAMESPACES = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("nsenter")),
    reason="a disk of its own needs root, and unshare and nsenter of the package util-linux",
)


@NAMESPACES
def test_row_19_a_full_disk_leaves_the_old_state_and_ends_no_supervision(tmp_path: Path) -> None:
    with small_disk() as disk:
        daemon = OnDisk(tmp_path, disk)
        for name in ("Stopped", "Killed", "Other"):
            add_agent(daemon.agents, name)
        with running(daemon):
            saved = (daemon.state / "fleet.toml").read_bytes()
            disk.fill()
            answer = daemon.post("/api/v1/agents/stopped/stop")
            print(answer.text)
            print(daemon.get("/health").text)
            os.kill(daemon.units()["killed"], signal.SIGKILL)
            daemon.wait_for("killed", phase="running", restarts=1)
            assert (daemon.state / "fleet.toml").read_bytes() == saved
            print(daemon.log.read_text())
            daemon.stop(signal.SIGKILL)
            daemon.start()
            print(daemon.log.read_text())
            disk.free()
