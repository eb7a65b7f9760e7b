"""README.md and the pages of operators in docs are true: every command in them runs, in order.

In a copy of the checkout, on ports and a state directory of the test's own,
and on the rule-based `demo` back end: no test may reach for the network, and
the model's words are not what is tested here.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon, eventually

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(README)
OPERATIONS = BLOCK.findall((ROOT / "docs/operations.md").read_text())
CHILDREN = BLOCK.findall((ROOT / "docs/children.md").read_text())
LONG_RUNNING = ("make up", "-m atoll --server")
COPIED = ("Makefile", "pyproject.toml", "requirements", "scripts", "atoll_agents", "README.md")


@pytest.fixture
def clone(tmp_path: Path) -> Daemon:
    """A copy of the checkout that shares its .venv; its daemon is not started."""
    if shutil.which("make") is None or not (ROOT / ".venv/run.stamp").exists():
        pytest.skip("wants make and the .venv that `make setup` makes")
    folder = tmp_path / "atoll"
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))  # or make would set up the checkout's own .venv, from here
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # Without the engine there is nothing to pull, and so no network to reach for.
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide/xllamacpp.py").write_text("raise ImportError\n")
    return Daemon(tmp_path, agents=folder / "atoll_agents")


def environment(daemon: Daemon) -> dict[str, str]:
    hidden = daemon.agents.parent.parent / "hide"
    return {**daemon.environment, "PYTHONPATH": str(hidden), "OLLAMA_HOST": ""}


def shifted(daemon: Daemon, text: str) -> str:
    """The text with the ports of this test in place of the README's."""
    text = text.replace("127.0.0.1:8099", f"127.0.0.1:{daemon.api_port}")
    text = text.replace("--port 8200", f"--port {daemon.base_port + 10}")
    return re.sub(
        r"127\.0\.0\.1:81(\d\d)", lambda m: f"127.0.0.1:{daemon.base_port + int(m[1])}", text
    )


@contextmanager
def started(daemon: Daemon, command: str) -> Iterator[Path]:
    """A command that stays in the foreground; ended by Ctrl-C's signal."""
    log = daemon.agents.parent.parent / "foreground.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=daemon.agents.parent,
            env=environment(daemon),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        os.killpg(process.pid, signal.SIGINT)  # the session that was made for it above
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def sh(daemon: Daemon, text: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-euc", shifted(daemon, text)],
        cwd=daemon.agents.parent,
        env=environment(daemon),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def python(daemon: Daemon, text: str) -> str:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/python"), "-c", shifted(daemon, text)],
        cwd=daemon.agents.parent,
        env=environment(daemon),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(180)
def test_every_command_of_the_readme_and_of_the_operators_pages_runs(
    clone: Daemon,
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("wants the Debian package curl")
    kinds = {kind for kind, _ in BLOCKS}
    assert kinds == {"sh", "text", "python"}, "a new kind of block needs a way to be run here"
    said: list[str] = []
    with started(clone, "make up") as log:
        eventually(lambda: "Management:" in log.read_text(), limit=60, why=log.read_text())
        for kind, text in BLOCKS:
            if kind == "text":
                assert same_text(clone, text, log.read_text()), log.read_text()
            elif kind == "python":
                said.append(python(clone, text))
            elif not text.startswith(LONG_RUNNING) and not any(x in text for x in LONG_RUNNING):
                said.append(sh(clone, text))
        for kind, text in OPERATIONS + [block for block in CHILDREN if block[0] != "text"]:
            said.append(sh(clone, text) if kind == "sh" else checked(clone, text))
    assert all(said), "each of them says something"
    assert '"done":true' in said[0]
    assert "assistant" in said[1]


def checked(daemon: Daemon, tables: str) -> str:
    """What `config check` says of an agent that has these tables."""
    folder = daemon.agents.parent.parent / "shown"
    folder.mkdir(exist_ok=True)
    (folder / "agent.toml").write_text(f'[agent]\nname = "Shown"\n\n{tables}')
    return sh(daemon, f".venv/bin/atoll config check {folder}")


def same_text(daemon: Daemon, shown: str, real: str) -> bool:
    """Whether the start-up text in the README is what was printed, but for the ports."""
    return without_ports(shifted(daemon, shown)).strip() in without_ports(real)


def without_ports(text: str) -> str:
    return re.sub(r"\(Port: \d+\)", "(Port: N)", text)


@pytest.mark.timeout(120)
def test_one_agent_runs_alone_as_the_readme_says(clone: Daemon) -> None:
    (command,) = [text for kind, text in BLOCKS if kind == "sh" and "-m atoll --server" in text]
    with started(clone, shifted(clone, command).strip()) as log:
        eventually(lambda: "serves http://" in log.read_text(), limit=60, why=log.read_text())
        answer = sh(clone, f"curl -sf http://127.0.0.1:{clone.base_port + 10}/api/version")
        assert '"version"' in answer


def test_every_file_the_readme_points_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
