"""Tools that hang: they hold up no other tool, and no agent that is told to stop."""

import asyncio
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from atoll.adapters.python_tools import PythonTools, load_tools
from atoll.adapters.tool_threads import MOST, ToolThreads
from atoll.wire.messages import Call
from tests.fakes.waiting import until
from tests.shell.test_server import address, process

pytestmark = pytest.mark.anyio

TOOLS = """
import time
from pathlib import Path

def hang() -> None:
    with Path(__file__).with_name("hangs").open("a") as file:
        file.write("x")
    time.sleep(60)

def add(a: int, b: int) -> int:
    return a + b

async def add_later(a: int, b: int) -> int:
    return a + b
"""
MANIFEST = """
[agent]
name = "Hanger"

[llm]
provider = "scripted"
script = "script.toml"

[tools]
python = "tools.py"
allow = ["*"]
timeout = 60

[deployment]
stop_timeout = 1
"""
SCRIPT = """
capabilities = ["completion", "tools"]

[[turn]]
[[turn.call]]
name = "hang"
"""


def tools_in(folder: Path, timeout: float) -> PythonTools:
    (folder / "tools.py").write_text(TOOLS)
    return PythonTools(load_tools(folder / "tools.py"), ("*",), timeout, 100)


async def test_hung_tools_delay_no_other_until_every_thread_is_taken(tmp_path: Path) -> None:
    """After that a blocking call fails at once, and one that needs no thread still works."""
    tools = tools_in(tmp_path, 0.05)
    add = Call("c", "add", {"a": 1, "b": 2})
    hangs = [tools.call(Call("c", "hang", {})) for _ in range(MOST - 1)]
    assert all(outcome.failed for outcome in await asyncio.gather(*hangs))
    patient = PythonTools(load_tools(tmp_path / "tools.py"), ("*",), 30.0, 100)
    assert (await patient.call(add)).text == "3"
    assert (await tools.call(Call("c", "hang", {}))).failed
    refused = await tools.call(add)
    assert refused.failed
    assert "add was not called: too many calls" in refused.text
    assert (await tools.call(Call("c", "add_later", {"a": 1, "b": 2}))).text == "3"


async def test_a_thread_that_ends_makes_room_even_when_nobody_waits_any_more() -> None:
    threads, go_on = ToolThreads(most=1), threading.Event()
    call = asyncio.create_task(threads.run(go_on.wait, {"timeout": 20}))
    await until(lambda: threads.full)
    call.cancel()
    await asyncio.wait([call])
    assert threads.full
    go_on.set()
    await until(lambda: not threads.full)
    assert await threads.run(int, {}) == 0


def test_a_thread_that_outlives_its_loop_harms_nobody() -> None:
    """What it has to say is dropped: an error in a thread would fail this test."""
    go_on = threading.Event()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ToolThreads().run(go_on.wait, {"timeout": 20}), 0.05)

    before = threading.enumerate()
    asyncio.run(give_up())
    [left] = [thread for thread in threading.enumerate() if thread not in before]
    go_on.set()
    left.join(20)
    assert not left.is_alive()


def test_an_agent_with_a_hung_tool_stops_when_it_is_told_to(tmp_path: Path) -> None:
    """The tool sleeps for a minute; the agent may take one second to finish requests."""
    (tmp_path / "agent.toml").write_text(MANIFEST)
    (tmp_path / "script.toml").write_text(SCRIPT)
    (tmp_path / "tools.py").write_text(TOOLS)
    with process(tmp_path, "--port", "0", "--agent", str(tmp_path / "agent.toml")) as child:
        url = address(child)
        body = {"model": "hanger", "messages": [{"role": "user", "content": "hi"}]}

        def ask() -> None:
            with suppress(requests.RequestException):
                requests.post(f"{url}/api/chat", json=body, timeout=50)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asyncio.run(until((tmp_path / "hangs").exists))
        child.send_signal(signal.SIGTERM)
        assert child.wait(25) == 0
        asking.join(20)
