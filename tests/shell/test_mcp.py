"""Servers of MCP as real processes, good ones and hostile ones: the agent always goes on."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from atoll.config.manifest import McpServer, Tools
from atoll.errors import ConfigError
from atoll.ports import Outcome
from tests.fakes.tool_servers import LIMIT, opened

pytestmark = pytest.mark.anyio

FAKE = Path(__file__).parents[1] / "fakes" / "mcp_server.py"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that agents run on: its child processes are its own."""
    return "asyncio", {"use_uvloop": True}


def fake(mode: str, *arguments: str, **fields) -> McpServer:
    return McpServer(command=sys.executable, args=(str(FAKE), mode, *arguments), **fields)


async def test_a_servers_tools_are_called_by_server_and_tool(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good"), b=fake("good")) as bench:
        assert {"a.echo", "b.echo"} < set(bench.names)
        assert await bench.call("a.echo", text="hi") == Outcome("hi")
        assert "MCP server a is connected, protocol 2025-11-25, 8 tools" in bench.said
        assert bench.tools.warnings == ()


async def test_an_unknown_tool_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good")) as bench:
        outcome = await bench.call("c.echo")
        assert outcome.failed
        assert "known tools: a.echo" in outcome.text
        assert (await bench.call("a.nothing")).failed


async def test_what_the_allow_list_leaves_out_does_not_exist(tmp_path: Path) -> None:
    tools = Tools(allow=("a.e*", "b.echo"))
    async with opened(tmp_path, tools, a=fake("good"), b=fake("good")) as bench:
        assert bench.names == ["a.echo", "b.echo"]
        assert (await bench.call("a.die")).failed
        assert not (await bench.call("a.echo")).failed


async def test_a_server_gets_the_variables_of_its_table_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "more.env").write_text("# more\nexport FILED='a b'\nBOTH=file\n\n")
    server = fake("good", env={"NAMED": "n", "BOTH": "table"}, env_file="more.env")
    async with opened(tmp_path, a=server) as bench:
        got = json.loads((await bench.call("a.variables")).text)
    mine = {"NAMED": "n", "BOTH": "table", "FILED": "a b"}
    assert got == {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **mine}


@pytest.mark.parametrize("line", ["no value", "1A=x", "LD_PRELOAD=x.so"])
async def test_a_wrong_env_file_is_an_error_with_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "more.env").write_text(f"A=1\n{line}\n")
    with pytest.raises(ConfigError, match=r"more\.env:2:1"):
        async with opened(tmp_path, a=fake("good", env_file="more.env")):
            pass


async def test_a_missing_env_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        async with opened(tmp_path, a=fake("good", env_file="none.env")):
            pass


async def test_servers_start_at_once_and_the_bad_ones_are_done_without(tmp_path: Path) -> None:
    """Two that hang take one start limit together, or `opened` runs out of time."""
    servers = {"good": fake("good"), "hangs": fake("hangs"), "mute": fake("hangs")}
    absent = McpServer(command="atoll-test-no-such-program")
    async with opened(tmp_path, dies=fake("dies"), absent=absent, **servers) as bench:
        assert not (await bench.call("good.echo")).failed
        assert {name.partition(".")[0] for name in bench.names} == {"good"}
        said = "\n".join(bench.said)
        assert "hangs did not start within 10 s; the agent goes on without it" in said
        assert "dies does not work: it ended with exit code 3" in said
        assert "absent does not work: there is no program 'atoll-test-no-such-program'" in said
        down = {warning.split()[2] for warning in bench.tools.warnings}
        assert down == {"dies", "absent", "hangs", "mute"}
        assert (await bench.call("dies.echo")).failed


async def test_a_server_that_dies_in_a_call_fails_it_and_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good", str(tmp_path / "starts"))) as bench:
        outcome = await bench.call("a.die")
        assert outcome.failed
        assert "a.echo" in bench.names, "its tools stay known while it is away"
        await bench.until(lambda: len((tmp_path / "starts").read_text().split()) == 2)
        await bench.until(lambda: not bench.tools.warnings)
        assert await bench.call("a.echo", text="again") == Outcome("again")
        assert any("it ended with exit code 9" in line for line in bench.said)


async def test_a_call_that_does_not_end_fails_after_the_servers_limit(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good", timeout_seconds=0.3)) as bench:
        assert await bench.call("a.sleep") == Outcome("a.sleep did not finish within 0.3 s", True)


async def test_a_changed_tool_is_refused_and_told_until_the_agent_restarts(tmp_path: Path) -> None:
    """The rug pull of attacks.md S44."""
    async with opened(tmp_path, a=fake("good")) as bench:
        before = {spec.name: spec for spec in bench.tools.specs}
        await bench.call("a.change")
        await bench.until(lambda: len(bench.said) > 2)
        assert "MCP server a changed its tool sleep: it is refused until the agent restarts" in (
            bench.said
        )
        assert "MCP server a no longer offers its tool echo" in bench.said
        assert "MCP server a offers a new tool late: not used until the agent restarts" in (
            bench.said
        )
        assert bench.names == []
        outcome = await bench.call("a.variables")
        assert outcome.failed
        assert "refused until the agent restarts" in outcome.text
        assert any("changed its tool sleep" in warning for warning in bench.tools.warnings)
        assert "a.late" not in before


async def test_what_no_model_should_see_is_left_out(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("poisoned")) as bench:
        (spec,) = bench.tools.specs
        assert spec.name == "a.fine"
        assert spec.description.startswith("Harmless[2J xxx")
        assert len(spec.description) < 2_100
        said = "\n".join(bench.said)
        for words in (
            "'fetches' is left out: its schema has a $ref to another place",
            "'bad name!' is left out",
            "'huge' is left out: its schema has over",
            "'fine' is left out: another one has its name",
            "'deep' is left out: its schema is over 32 levels deep",
        ):
            assert words in said


async def test_a_long_result_is_cut_with_a_marker(tmp_path: Path) -> None:
    tools = Tools(max_result_chars=100)
    async with opened(tmp_path, tools, a=fake("good")) as bench:
        outcome = await bench.call("a.fill", text="1000000")
        assert outcome == Outcome("z" * 100 + "\n[cut: 999900 characters more]")


async def test_a_message_over_the_limit_ends_the_connection_not_the_agent(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good")) as bench:
        assert (await bench.call("a.fill", text="5000000")).failed
        await bench.until(lambda: any("over 4194304 bytes" in line for line in bench.said))
        await bench.until(lambda: not bench.tools.warnings)
        assert not (await bench.call("a.echo")).failed


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("garbage", "it wrote over 100 lines that are no messages"),
        ("floods", "it sent more messages in a second"),
        ("broken", "its answer breaks the protocol"),
    ],
)
async def test_a_server_that_sends_nonsense_is_given_up_with_the_reason(
    tmp_path: Path, mode: str, reason: str
) -> None:
    async with opened(tmp_path, a=fake(mode), good=fake("good")) as bench:
        await bench.until(lambda: any(reason in line for line in bench.said))
        assert not (await bench.call("good.echo")).failed


async def test_an_endless_answer_fails_the_call(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("endless")) as bench:
        assert (await bench.call("a.echo")).failed
        await bench.until(lambda: any("over 4194304 bytes" in line for line in bench.said))


@pytest.mark.parametrize("mode", ["foreign", "deaf"])
async def test_an_answer_that_never_comes_fails_the_call(tmp_path: Path, mode: str) -> None:
    async with opened(tmp_path, a=fake(mode, timeout_seconds=0.3), good=fake("good")) as bench:
        assert (await bench.call("a.echo")).failed
        assert not (await bench.call("good.echo")).failed


async def test_a_server_that_ends_at_the_question_for_its_era_is_met_in_the_legacy_one(
    tmp_path: Path,
) -> None:
    starts = tmp_path / "starts"
    async with opened(tmp_path, a=fake("shy", str(starts))) as bench:
        assert await bench.call("a.echo", text="hi") == Outcome("hi")
        assert len(starts.read_text().split()) == 2


async def test_a_server_that_asks_for_our_model_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good")) as bench:
        assert await bench.call("a.ask") == Outcome("Sampling not supported")


async def test_a_greeting_on_stdout_is_told_and_harms_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("greets")) as bench:
        assert "MCP server a: its output is no message: Welcome to the server!" in bench.said
        assert not (await bench.call("a.echo")).failed


async def test_a_flood_on_stderr_is_bounded_and_the_server_works(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("errs")) as bench:
        for _ in range(20):
            assert not (await bench.call("a.echo")).failed
        flood = [line for line in bench.said if "flood" in line]
        assert "MCP server a: flood" in flood
        assert len(flood) <= 20 * LIMIT


async def test_calls_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    async with opened(tmp_path, a=fake("good")) as bench:
        texts = [str(number) for number in range(50)]
        outcomes = await asyncio.gather(*(bench.call("a.echo", text=text) for text in texts))
        assert [outcome.text for outcome in outcomes] == texts


def gone(pid: int) -> bool:
    """Whether there is no such process, or only what is left of one."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.mark.parametrize("mode", ["good", "stays"])
async def test_a_server_and_what_it_started_end_with_the_tools(tmp_path: Path, mode: str) -> None:
    async with opened(tmp_path, a=fake(mode)) as bench:
        pids = json.loads((await bench.call("a.bear")).text)
        assert not any(map(gone, pids))
    await bench.until(lambda: all(map(gone, pids)))


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.03, 0.1, 0.3])
async def test_a_start_that_is_given_up_leaves_no_process(tmp_path: Path, pause: float) -> None:
    starts = tmp_path / "starts"
    starts.touch()

    async def use() -> None:
        async with opened(tmp_path, a=fake("hangs", str(starts)), b=fake("good", str(starts))):
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await asyncio.sleep(pause)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(gone(int(pid)) for pid in starts.read_text().split())


AGENT = """
import asyncio, os, sys
from pathlib import Path
from atoll.adapters.mcp.opening import open_mcp
from atoll.config.manifest import Agent, Manifest, McpServer

async def main():
    server = McpServer(command=sys.executable, args=(sys.argv[1], "good", sys.argv[2]))
    manifest = Manifest(agent=Agent(name="X"), mcp_servers={"a": server})
    await open_mcp(manifest, Path(), os.environ, lambda line: None)
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_server_dies_with_an_agent_that_is_killed(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", AGENT, str(FAKE), str(starts)), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout
    async with asyncio.timeout(LIMIT):
        assert await agent.stdout.readline() == b"up\n"
        (pid,) = map(int, starts.read_text().split())
        assert not gone(pid)
        agent.kill()
        await agent.wait()
        while not gone(pid):
            await asyncio.sleep(0.02)
