"""A WebSocket's handler against a server that behaves as no server should."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from atoll.http.access import give
from atoll.http.fleet_rlm.routes import ws_chat
from atoll.loop.agent import Agent
from tests.fakes.ports import FakeModel, text
from tests.fakes.serving import agent_over

pytestmark = pytest.mark.anyio


class Wire:
    """What the server gives and takes; each thing that is sent may raise."""

    def __init__(self, *faults: Exception | None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._faults = list(faults)
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.come(type="websocket.connect")

    def come(self, **message: Any) -> None:
        self._coming.put_nowait(message)

    async def receive(self) -> dict[str, Any]:
        return await self._coming.get()

    async def send(self, message: Any) -> None:
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            raise fault
        self.sent.append(message)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = agent_over(FakeModel(text("a")), tmp_path)
    yield agent
    await agent.close()


async def held(agent: Agent, wire: Wire) -> None:
    app = Litestar(logging_config=None)
    give(app, agent)
    scope: Any = {"type": "websocket", "path": "/ws/chat", "headers": [], "litestar_app": app}
    async with asyncio.timeout(10):
        await ws_chat.fn(scope, wire.receive, wire.send)


async def test_a_fault_of_ours_is_logged_and_the_client_told(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(None, ValueError("broken"))
    wire.come(type="websocket.receive", text='{"content": "hi"}')
    await held(agent, wire)
    assert wire.sent[-1]["code"] == 1011
    assert '"internal"' in wire.sent[-2]["text"]
    assert [record.message for record in caplog.records] == ["a WebSocket broke"]


async def test_a_client_that_is_gone_is_no_fault(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(None, BrokenPipeError())
    wire.come(type="websocket.receive", text="nonsense")
    with caplog.at_level(logging.WARNING):
        await held(agent, wire)
    assert (len(wire.sent), caplog.records) == (1, [])


async def test_a_cancelled_connection_says_that_the_agent_stops(agent: Agent) -> None:
    wire = Wire()
    task = asyncio.create_task(held(agent, wire))
    while not wire.sent:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ('"stopping"' in wire.sent[-2]["text"], wire.sent[-1]["code"]) == (True, 1012)


async def test_the_servers_notice_is_answered_with_a_close_and_ends_when_that_comes_back(
    agent: Agent,
) -> None:
    """uvicorn tells an application that has closed a disconnect of the same code."""
    wire = Wire()
    task = asyncio.create_task(held(agent, wire))
    wire.come(type="websocket.disconnect", code=1012)
    while len(wire.sent) < 2:
        await asyncio.sleep(0)
    assert (wire.sent[-1]["type"], wire.sent[-1]["code"]) == ("websocket.close", 1012)
    wire.come(type="websocket.disconnect", code=1012)
    await task
