"""The gateway of a real daemon is held to the same rows as an agent's own port."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_suite import CLIENTS, asked, rows_of
from tests.fakes.daemon import Daemon, running

HERE = Path(__file__).parent
LIMIT = 210
"""Seconds for a daemon's life and the run of all rows."""


def through_gateway(daemon: Daemon, folder: Path, model: str) -> dict[str, Any]:
    """The report on the one agent of a fleet, whose folder with its profile is copied there."""
    shutil.copytree(folder, daemon.agents / model)
    profile = daemon.agents.parent / "profile.toml"
    own = f"http://127.0.0.1:{daemon.base_port}/health"  # the agent tells how many turns run
    text = (folder / "profile.toml").read_text()
    profile.write_text(text.replace('path = "/health"', f'path = "{own}"'))
    with running(daemon):
        return asked(daemon.url, model, profile)


@pytest.mark.timeout(LIMIT)
def test_every_row_passes_at_the_gateway(tmp_path: Path) -> None:
    report = through_gateway(Daemon(tmp_path), HERE / "agent", "conformance")
    assert rows_of(report, "fail") == {}
    assert rows_of(report, "not applicable").keys() - CLIENTS == set()
    assert report["passed"] == 98
