"""The gateway of a real daemon is held to the same rows as an agent's own port."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_suite import INSTALLED, LIMIT, OF_NPM, asked, rows_of
from tests.fakes.daemon import Daemon, running

HERE = Path(__file__).parent


def through_gateway(daemon: Daemon, folder: Path, model: str, *more: str) -> dict[str, Any]:
    """The report on the one agent of a fleet, whose folder with its profile is copied there."""
    shutil.copytree(folder, daemon.agents / model)
    profile = daemon.agents.parent / "profile.toml"
    own = f"http://127.0.0.1:{daemon.base_port}/health"  # the agent tells how many turns run
    text = (folder / "profile.toml").read_text()
    profile.write_text(text.replace('path = "/health"', f'path = "{own}"'))
    with running(daemon):
        return asked(daemon.url, model, profile, *more)


@pytest.mark.timeout(LIMIT + 60)
def test_every_row_passes_at_the_gateway(tmp_path: Path) -> None:
    clients = ("--clients", str(INSTALLED))
    report = through_gateway(Daemon(tmp_path), HERE / "agent", "conformance", *clients)
    assert rows_of(report, "fail") == {}
    assert rows_of(report, "not applicable").keys() == OF_NPM
    assert report["passed"] == 110 - len(OF_NPM)
