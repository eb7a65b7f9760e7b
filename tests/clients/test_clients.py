"""Clients as people install them, unmodified, do what their users do: rows G1 to G12.

Each is a script beside this file, run by the interpreter of `.venv/clients`, or by
node where that is there, against one agent and against the gateway.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, running

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALLED = ROOT / ".venv" / "clients"
AGENT = ROOT / "tests" / "conformance" / "agent"
ABILITIES = ("completion", "tools", "vision", "embedding", "thinking")
PROMPTS = {
    "plain": "Say hello.",
    "tool": "one tool please",
    "schema": "person please",
    "fails": "failure please",
}
LIMIT = 120
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "ANONYMIZED_TELEMETRY": "false"}
"""Some look for something on the network when they are imported, unless they are told not to."""
FACES = pytest.mark.parametrize("face", ["agent", "gateway"])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A fleet of the one agent that can do everything."""
    daemon = Daemon(tmp_path_factory.mktemp("fleet"))
    shutil.copytree(AGENT, daemon.agents / "conformance")
    with running(daemon):
        yield daemon


def told(daemon: Daemon, face: str) -> str:
    """The argument of a script."""
    url = daemon.url if face == "gateway" else daemon.row("conformance")["url"]
    case = {"url": url, "model": "conformance", "abilities": ABILITIES, "prompts": PROMPTS}
    return json.dumps(case)


def does_its_work(command: list[str], home: Path) -> None:
    done = subprocess.run(
        command,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **QUIET},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@FACES
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("script", sorted(HERE.glob("g*.py")), ids=lambda path: path.stem)
def test_a_client_of_pypi_works(daemon: Daemon, face: str, script: Path, tmp_path: Path) -> None:
    python = INSTALLED / "bin" / "python"
    assert python.exists(), "make setup installs it"
    does_its_work([str(python), str(script), told(daemon, face)], tmp_path)


@FACES
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here")
@pytest.mark.parametrize("script", sorted(HERE.glob("g*.mjs")), ids=lambda path: path.stem)
def test_a_client_of_npm_works(daemon: Daemon, face: str, script: Path, tmp_path: Path) -> None:
    modules = INSTALLED / "node_modules"
    assert modules.exists(), "make setup installs it, with npm"
    (tmp_path / "node_modules").symlink_to(modules)  # where node looks for what a script imports
    for part in (script, HERE / "common.mjs"):
        shutil.copy(part, tmp_path)
    does_its_work(["node", script.name, told(daemon, face)], tmp_path)


def test_there_is_a_script_for_each_of_the_twelve_rows() -> None:
    numbers = sorted(int(path.name[1:3]) for path in HERE.glob("g*.*"))
    assert numbers == list(range(1, 13))
