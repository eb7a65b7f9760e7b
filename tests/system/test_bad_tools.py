"""Tools that do the worst: each ends in a clear result or a restart, and the agent serves on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.daemon import PLAIN, Daemon, running

MANIFEST = """
[agent]
name = "Tinker"

[llm]
provider = "scripted"
script = "script.toml"

[tools]
python = "tools.py"
timeout = 5
max_result_chars = 1000
"""
TOOLS = '''
import os
import signal
import time

BLOCK = "x" * (1024 * 1024)


def raises() -> str:
    """Raise."""
    raise ValueError("no such luck")


def hangs() -> str:
    """Block without an end."""
    time.sleep(3600)
    return ""


def prints() -> str:
    """Print a gigabyte."""
    for _ in range(1024):
        print(BLOCK)
    return "printed"


def is_long() -> str:
    """Return 100 MB."""
    return BLOCK * 100


def leaves() -> str:
    """End the process, as a C library may."""
    os._exit(7)


def dies() -> str:
    """Die as by the kernel's hand."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""
'''
NAMES = ("raises", "hangs", "prints", "is_long", "leaves", "dies")
SCRIPT = 'capabilities = ["completion", "tools"]\n' + "".join(
    f"""
[[turn]]
match = "{name}"
[[turn.call]]
name = "{name}"

[[turn]]
match = "{name}"
text = "so much for {name}"
"""
    for name in NAMES
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("fleet"))
    folder: Path = daemon.agents / "tinker"
    folder.mkdir()
    (folder / "agent.toml").write_text(MANIFEST)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "script.toml").write_text(SCRIPT + '\n[[turn]]\ntext = "well"\n')
    with running(daemon):
        yield daemon


def asked(fleet: Daemon, message: str) -> Any:
    """The answer to a message, with the steps that led to it."""
    url = f"http://127.0.0.1:{fleet.base_port}/chat"
    answer = httpx.post(url, json={"message": message}, timeout=60, verify=PLAIN)
    return answer.raise_for_status().json()


def observed(fleet: Daemon, message: str) -> str:
    """What the model was told by the one tool of a turn that came to its end."""
    told = asked(fleet, message)
    assert told["answer"] == f"so much for {message}"
    return str(told["trajectory_flat"]["observation_0"])


def restarts(fleet: Daemon) -> Any:
    return fleet.row("tinker")["restarts"]


@pytest.mark.parametrize(
    ("tool", "words"),
    [("raises", "ValueError: no such luck"), ("hangs", "within 5 s"), ("prints", "printed")],
)
def test_a_tool_that_fails_is_a_result_and_the_agent_serves_on(
    fleet: Daemon, tool: str, words: str
) -> None:
    before = restarts(fleet)
    assert words in observed(fleet, tool)
    assert asked(fleet, "hello")["answer"] == "well"
    assert restarts(fleet) == before


def test_a_result_that_is_too_long_is_cut_with_a_marker(fleet: Daemon) -> None:
    told = observed(fleet, "is_long")
    assert told == f"{'x' * 1000}\n[cut: {100 * 1024 * 1024 - 1000} characters more]"


def test_what_is_printed_is_kept_within_the_bounds_of_a_log(fleet: Daemon) -> None:
    observed(fleet, "prints")
    logs = [path.stat().st_size for path in (fleet.state / "logs").glob("tinker.log*")]
    assert 0 < sum(logs) < 200 * 1024 * 1024


@pytest.mark.parametrize("tool", ["leaves", "dies"])
def test_a_tool_that_ends_the_process_costs_its_own_turn_and_nothing_else(
    fleet: Daemon, tool: str
) -> None:
    """What was acknowledged before is remembered, and the next message is answered."""
    session = f"before-{tool}"
    url = f"http://127.0.0.1:{fleet.base_port}"
    body = {"message": "hello", "session_id": session}
    httpx.post(f"{url}/chat", json=body, timeout=60, verify=PLAIN).raise_for_status()
    before = restarts(fleet)
    with pytest.raises(httpx.RemoteProtocolError):
        asked(fleet, tool)
    assert asked(fleet, "hello")["answer"] == "well"
    assert restarts(fleet) == before + 1
    kept = httpx.get(f"{url}/sessions/{session}", timeout=30, verify=PLAIN).json()
    assert kept["message_count"] == 2
