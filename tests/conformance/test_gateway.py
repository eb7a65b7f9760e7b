"""The gateway of a real daemon is held to the same rows as an agent's own port."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, running

HERE = Path(__file__).parent
CONFORMANCE = HERE.parents[1] / "conformance"
LIMIT = 150


@pytest.mark.timeout(LIMIT + 60)
def test_every_row_passes_at_the_gateway(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    shutil.copytree(HERE / "agent", daemon.agents / "conformance")
    profile = tmp_path / "profile.toml"
    own = f"http://127.0.0.1:{daemon.base_port}/health"  # the agent tells how many turns run
    text = (HERE / "agent" / "profile.toml").read_text()
    profile.write_text(text.replace('path = "/health"', f'path = "{own}"'))
    command = [sys.executable, "-m", "atoll_conformance", "--url", daemon.url, "--json"]
    options = ["--model", "conformance", "--profile", str(profile), "--timeout", "40"]
    with running(daemon):
        done = subprocess.run(
            [*command, *options],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CONFORMANCE)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    report = json.loads(done.stdout)
    failed = [row for row in report["rows"] if row["verdict"]["type"] == "fail"]
    assert failed == []
    assert report["passed"] == 98
