"""The commands of docs/reference.md do what the page says, on a daemon with one agent."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, add_agent, running

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)).splitlines()


def told(daemon: Daemon, command: str) -> str:
    """What it prints, with the ports of this test and the environment of the tests."""
    here = command.replace("127.0.0.1:8099", f"127.0.0.1:{daemon.api_port}")
    here = here.replace("127.0.0.1:8100", f"127.0.0.1:{daemon.base_port}")
    here = here.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = subprocess.run(
        ["/bin/sh", "-euc", here],
        env={**daemon.environment, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(120)
def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    with running(daemon):
        said = {command: told(daemon, command) for command in COMMANDS}
    management, agent, page, install = said.values()
    assert '"/api/v1/agents"' in management
    assert '"/v1/chat/completions"' in management
    assert '"/sessions/{session_id}"' in agent
    assert page.startswith("<!doctype html>")
    assert "Swagger UI" in page
    assert "are in" in install
