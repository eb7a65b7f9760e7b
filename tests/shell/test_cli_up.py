"""`atoll up` and `down` with the real daemon, in the foreground and in the background."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atoll.adapters.listening import listen, port_of
from atoll_supervisor.keeper.proc import stat_of
from tests.fakes.cli import LIMIT, atoll, spawn

pytestmark = pytest.mark.anyio

AGENT = """
[agent]
name = "Greeter"
[llm]
provider = "demo"
"""


CRASHER = """
[agent]
name = "Crasher"
[llm]
provider = "scripted"
script = "there-is-none.toml"
"""


def free_ports() -> tuple[int, int]:
    """Two ports that were free a moment ago."""
    socks = [listen("127.0.0.1", 0) for _ in range(2)]
    ports = [port_of(sock) for sock in socks]
    for sock in socks:
        sock.close()
    return ports[0], ports[1]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "atoll_agents" / "greeter"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(AGENT)
    api, base = free_ports()
    return {"ATOLL_API_PORT": str(api), "ATOLL_BASE_PORT": str(base)}


@pytest.fixture
async def home(tmp_path: Path, env: dict[str, str]) -> AsyncIterator[Path]:
    yield tmp_path
    await atoll(tmp_path, "down", more=env)


async def test_in_the_foreground_it_prints_the_start_up_text_and_ends_clean_with_sigterm(
    tmp_path: Path, env: dict[str, str]
) -> None:
    process = await spawn(tmp_path, "up", more=env)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT):
            lines = [(await process.stdout.readline()).decode() for _ in range(4)]
            assert lines[0] == "[OK] ATOLL deployment server started\n"
            assert lines[1] == "  Local Server: localhost (running)\n"
            assert lines[3].startswith("    ● Greeter (Port: ")
            assert lines[3].endswith(") - running\n")
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0


async def test_in_the_background_it_comes_back_when_all_serve_and_down_ends_it(
    home: Path, env: dict[str, str]
) -> None:
    up = await atoll(home, "up", "-d", more=env)
    assert (up.code, up.out.splitlines()[0]) == (0, "[OK] ATOLL deployment server started")
    again = await atoll(home, "up", "-d", "--json", more=env)
    assert "already running" in again.err
    pid = json.loads(again.out)["pid"]
    ran = await atoll(home, "run", "greeter", "hello", more=env)
    assert ran.code == 0
    assert ran.out.strip()
    stop = await atoll(home, "stop", "greeter", more=env)
    assert (stop.code, stop.err) == (0, "")
    down = await atoll(home, "down", more=env)
    assert (down.code, down.out) == (0, f"stopped the daemon (pid {pid})\n")
    left = stat_of(pid)
    assert left is None or left.state == "Z"
    assert (await atoll(home, "down", more=env)).code == 3
    assert (await atoll(home, "ps", more=env)).code == 3


async def test_the_lock_tells_the_other_commands_where_the_daemon_is(
    home: Path, env: dict[str, str]
) -> None:
    port, base = env.pop("ATOLL_API_PORT"), env["ATOLL_BASE_PORT"]
    up = await atoll(home, "up", "-d", "--api-port", port, "--base-port", base)
    assert up.code == 0
    said = await atoll(home, "ps", "-q")
    assert (said.code, said.out) == (0, "greeter\n")


async def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = await atoll(tmp_path, "up", "-d", "--api-port", port, more=env)
    assert said.code == 1
    assert port in said.err
    assert "Traceback" not in said.err
    assert (await atoll(tmp_path, "down", more=env)).code == 3


async def test_the_background_start_does_not_wait_until_a_crash_loop_has_spent_its_budget(
    home: Path, env: dict[str, str]
) -> None:
    folder = home / "atoll_agents" / "crasher"
    folder.mkdir()
    (folder / "agent.toml").write_text(CRASHER)
    up = await atoll(home, "up", "-d", more=env)
    assert up.code == 0
    assert re.search(r"● Crasher \(Port: \d+\) - starting again: .", up.out), up.out
