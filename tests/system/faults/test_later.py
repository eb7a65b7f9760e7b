"""Rows 40, 41 and 48 of the fault matrix: tools, delegates and code that misbehave."""

import json
import os
import signal
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.fakes.children import asks
from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running
from tests.fakes.delegation import add, child
from tests.fakes.holds import rows_of, watching
from tests.fakes.sandbox import SMALL, EchoHost, needs_sandbox, space

UP_WITHIN = 15.0
"""Seconds: the limit of its servers' start is 10."""
MCP = """
[mcp_servers.dies]
command = "false"

[mcp_servers.absent]
command = "atoll-test-no-such-program"

[mcp_servers.hangs]
command = "sleep"
args = ["600"]

[mcp_servers.floods]
command = "sh"
args = ["-c", "while :; do echo flood >&2; done"]
"""


def test_row_40_bad_tool_servers_do_not_keep_an_agent_from_serving(tmp_path: Path) -> None:
    """The agent is up within their start limit, without them, and each one is told."""
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "Plain")
    with running(daemon), watching(daemon):
        add_agent(daemon.agents, "Tooled", MCP)
        began = time.monotonic()
        eventually(lambda: "tooled" in rows_of(daemon))
        row = daemon.wait_for("tooled", phase="running")
        assert time.monotonic() - began <= UP_WITHIN
        assert daemon.chat(row["port"]) == "Hello from Tooled"
        said = (daemon.state / "logs" / "tooled.log").read_text()
        assert "MCP server dies does not work: it ended with exit code 1" in said
        assert "MCP server absent does not work: there is no program" in said
        assert "MCP server hangs did not start within 10 s" in said
        assert "MCP server floods: flood" in said


def test_row_41_a_delegate_that_dies_in_mid_stream_ends_the_parents_stream_with_an_error(
    tmp_path: Path,
) -> None:
    """It is not asked again, for it has said something; the next turn goes well."""
    daemon = Daemon(tmp_path)
    add(daemon, "Parent", asks("helper") * 2, child("helper", agent="delegate"))
    add(daemon, "Delegate", '[[turn]]\nchunks = ["one ", "two "]\ndelay = 0.3\n')
    with running(daemon), watching(daemon, touched=["delegate"]):
        url = f"{daemon.wait_for('parent', phase='running')['url']}/stream?message=go"
        pid = daemon.wait_for("delegate", phase="running")["pid"]
        assert isinstance(pid, int)
        with httpx.stream("GET", url, timeout=30, verify=PLAIN) as answer:
            told = (json.loads(line[6:]) for line in answer.iter_lines() if line)
            first = next(event for event in told if "path" in event["data"])
            os.kill(pid, signal.SIGKILL)
            last = list(told)[-1]
        assert first["data"]["path"] == ["parent", "delegate"]
        assert (last["type"], last["data"]["code"]) == ("error", "child_lost")
        with httpx.stream("GET", url, timeout=30, verify=PLAIN) as answer:
            *_, again = [json.loads(line[6:]) for line in answer.iter_lines() if line]
        assert again["type"] == "run_end"


@needs_sandbox
@pytest.mark.anyio
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "a = []\nwhile True: a.append(bytearray(10**8))",
        "import os\nwhile True:\n try: os.fork()\n except OSError: pass",
        "while True: print('x' * 10**6)",
        "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    ],
    ids=["loop", "memory", "forks", "output", "deaf"],
)
async def test_row_48_code_in_the_sandbox_is_held_by_its_limits_and_the_next_call_is_fresh(
    code: str,
) -> None:
    async with space(msgspec.structs.replace(SMALL, seconds=1.0)) as box:
        held = await box.run(code, EchoHost())
        assert held.error
        assert len(held.output) <= SMALL.output + 100
        assert (await box.run("6 * 7", EchoHost())).value == "42"
