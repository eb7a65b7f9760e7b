"""Make-before-break with real agents under load: nobody is refused, nothing is cut off."""

import asyncio
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fakes.daemon import Daemon, add_agent, eventually, running
from tests.fakes.hammer import hammering
from tests.fakes.holds import MOST_AT_ONCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent")
    add_agent(daemon.agents, "CustomAgent")
    return daemon


async def test_a_restart_under_load_loses_no_request(daemon: Daemon) -> None:
    with running(daemon):
        before = daemon.row("ghidraagent")
        async with hammering(int(str(before["port"]))) as met:
            for _ in range(5):
                await asyncio.to_thread(daemon.post, "/api/v1/agents/ghidraagent/restart")
        after = daemon.row("ghidraagent")
        assert (met.failures, met.dropped) == ([], 0)
        assert met.answers > 20
        assert after["pid"] != before["pid"]
        assert after["generation"] == 6
        assert after["restarts"] == 0, "nobody's fault"


async def test_a_changed_manifest_is_taken_over_under_load_without_losing_a_request(
    daemon: Daemon,
) -> None:
    with running(daemon):
        before, other = daemon.row("ghidraagent"), daemon.row("customagent")
        manifest = daemon.agents / "ghidraagent" / "agent.toml"
        original = manifest.read_text()
        async with hammering(int(str(before["port"]))) as met:
            for number in (1, 2, 3):
                manifest.write_text(original.replace("[llm]", f"[llm]\ntemperature = 0.{number}"))
                await asyncio.to_thread(
                    daemon.wait_for, "ghidraagent", generation=number + 1, phase="running"
                )
        assert (met.failures, met.dropped) == ([], 0)
        assert daemon.row("customagent")["pid"] == other["pid"], "only that agent"


async def test_an_agent_that_gets_another_port_serves_on_the_old_one_until_it_does_on_the_new(
    daemon: Daemon,
) -> None:
    """And goes on there, as the lists say, when it does not start on the new one."""
    manifest = add_agent(daemon.agents, "Moved", '[tools]\npython = "tools.py"\n')
    original, tools = manifest.read_text(), manifest.parent / "tools.py"
    tools.write_text("")
    with running(daemon):
        old = int(str(daemon.row("moved")["port"]))
        new = daemon.base_port + 7
        async with hammering(old) as met:
            tools.write_text("import nowhere_at_all\n")
            manifest.write_text(f"{original}\n[deployment]\nport = {new}\n")
            await asyncio.to_thread(
                eventually, lambda: "nowhere_at_all" in str(daemon.row("moved")["config_error"])
            )
            assert (daemon.row("moved")["port"], daemon.row("moved")["status"]) == (old, "running")
        assert (met.failures, met.dropped) == ([], 0)
        tools.write_text("")
        await asyncio.to_thread(daemon.wait_for, "moved", port=new, status="running")
        assert daemon.chat(new) == "Hello from Moved"
        with pytest.raises(httpx.ConnectError):
            await asyncio.to_thread(eventually, lambda: not daemon.chat(old))


async def test_a_broken_replacement_leaves_the_old_process_serving(daemon: Daemon) -> None:
    manifest = add_agent(daemon.agents, "Tools", '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text("")
    with running(daemon):
        before = daemon.row("tools")
        async with hammering(int(str(before["port"]))) as met:
            (manifest.parent / "tools.py").write_text("import nowhere_at_all\n")
            await asyncio.to_thread(
                eventually, lambda: "nowhere_at_all" in str(daemon.row("tools")["config_error"])
            )
        after = daemon.row("tools")
        assert met.failures == []
        assert (after["pid"], after["status"]) == (before["pid"], "running")


async def test_a_restart_that_started_nothing_new_says_so(daemon: Daemon) -> None:
    """Until what keeps it from starting is mended; the old one serves all the while."""
    manifest = add_agent(daemon.agents, "Tools", '[tools]\npython = "tools.py"\n')
    (manifest.parent / "tools.py").write_text("")
    with running(daemon):
        before = daemon.row("tools")
        (manifest.parent / "tools.py").write_text("import nowhere_at_all\n")
        said = await asyncio.to_thread(daemon.run, "restart", "tools")
        assert (said.returncode, daemon.row("tools")["pid"]) == (1, before["pid"])
        assert "Tools is not restarted: the new process did not start" in said.stderr
        assert "the previous one goes on serving" in said.stderr
        assert daemon.chat(int(str(before["port"]))) == "Hello from Tools"
        (manifest.parent / "tools.py").write_text("")
        mended = await asyncio.to_thread(daemon.run, "restart", "tools")
        assert (mended.returncode, mended.stderr) == (0, "")
        assert daemon.row("tools")["pid"] != before["pid"]


async def test_a_hundred_restarts_at_once_are_few_processes(daemon: Daemon) -> None:
    with running(daemon):
        port = int(str(daemon.row("ghidraagent")["port"]))
        seen = _Census(daemon, "ghidraagent")
        async with (
            httpx.AsyncClient(headers=daemon.token(), timeout=60) as client,
            hammering(port) as met,
        ):
            watching = asyncio.create_task(seen.watch())
            url = f"{daemon.url}/api/v1/agents/ghidraagent/restart"
            answers = await asyncio.gather(*(client.post(url) for _ in range(100)))
            watching.cancel()
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["status"] for answer in answers} == {"running"}
        assert (met.failures, met.dropped) == ([], 0)
        assert 1 <= seen.most <= MOST_AT_ONCE
        assert daemon.chat(port) == "Hello from GhidraAgent"


async def test_a_stream_that_is_open_outlives_the_restart(daemon: Daemon) -> None:
    """The old process drains: it finishes what it has while the new one serves."""
    add_agent(daemon.agents, "Slow")
    (daemon.agents / "slow" / "script.toml").write_text(
        '[[turn]]\nchunks = ["a", "b", "c", "d"]\ndelay = 0.4\n'
    )
    with running(daemon):
        port = daemon.row("slow")["port"]
        body = {"model": "slow", "messages": [{"role": "user", "content": "hi"}]}
        async with httpx.AsyncClient(timeout=30) as client:
            url = f"http://127.0.0.1:{port}/api/chat"
            async with client.stream("POST", url, json=body) as answer:
                lines = answer.aiter_lines()
                first = await anext(lines)
                await asyncio.to_thread(daemon.post, "/api/v1/agents/slow/restart")
                rest = [line async for line in lines]
        assert '"a"' in first
        assert '"done":true' in rest[-1]


class _Census:
    """How many processes of an agent there have been at once."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self._keeper = psutil.Process(daemon.keeper)
        self._name = name
        self.most = 0

    async def watch(self) -> None:
        while True:
            living = [one for one in self._keeper.children() if _unit_of(one) == self._name]
            self.most = max(self.most, len(living))
            await asyncio.sleep(0.01)


def _unit_of(process: psutil.Process) -> str:
    try:
        return process.name()[: len("ghidraagent")]
    except psutil.NoSuchProcess:
        return ""
