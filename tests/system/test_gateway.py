"""The gateway of a whole daemon: restarts, kills and sleep lose no request."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.fakes.daemon import PLAIN, Daemon, add_agent, eventually, running

pytestmark = pytest.mark.anyio
LIMIT = 60


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    daemon = Daemon(tmp_path)
    add_agent(daemon.agents, "GhidraAgent", "[deployment]\nmax_restarts = 20\n")
    add_agent(daemon.agents, "Sleeper", "[deployment]\nidle_timeout = 1\n")
    return daemon


class Met:
    """What the clients of the gateway have met."""

    def __init__(self) -> None:
        self.answers = 0
        self.failures: list[str] = []


def body_for(name: str, *, stream: bool = False) -> dict[str, object]:
    return {"model": name, "messages": [{"role": "user", "content": "hi"}], "stream": stream}


@asynccontextmanager
async def chatting(daemon: Daemon, name: str, clients: int = 4) -> AsyncGenerator[Met]:
    """Chat through the gateway without end while inside."""
    met, over = Met(), asyncio.Event()

    async def one(http: httpx.AsyncClient) -> None:
        while not over.is_set():
            try:
                answer = await http.post("/api/chat", json=body_for(name))
                said = answer.raise_for_status().json()["message"]["content"]
                assert said == f"Hello from {name}"
            except (httpx.HTTPError, AssertionError, KeyError) as error:
                met.failures.append(f"{type(error).__name__}: {error}")
            else:
                met.answers += 1
            await asyncio.sleep(0.005)

    async with (
        httpx.AsyncClient(base_url=daemon.url, timeout=LIMIT, verify=PLAIN) as http,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(clients):
            group.create_task(one(http))
        try:
            yield met
        finally:
            over.set()


async def test_restarts_under_load_lose_no_request(daemon: Daemon) -> None:
    with running(daemon):
        async with chatting(daemon, "GhidraAgent") as met:
            for _ in range(5):
                await asyncio.to_thread(daemon.post, "/api/v1/agents/ghidraagent/restart")
        assert met.failures == []
        assert met.answers > 20
        assert daemon.row("ghidraagent")["generation"] == 6


async def test_kills_under_load_lose_no_request(daemon: Daemon) -> None:
    with running(daemon):
        async with chatting(daemon, "GhidraAgent") as met:
            for number in range(1, 4):
                pid = daemon.row("ghidraagent")["pid"]
                os.kill(int(str(pid)), signal.SIGKILL)
                await asyncio.to_thread(
                    daemon.wait_for, "ghidraagent", restarts=number, phase="running"
                )
        assert met.failures == []
        assert met.answers >= 4, "every client has been answered"


async def test_a_stream_whose_agent_is_killed_ends_with_an_error_line(daemon: Daemon) -> None:
    script = '[[turn]]\nchunks = ["a", "b", "c", "d"]\ndelay = 0.5\n'
    (daemon.agents / "ghidraagent" / "script.toml").write_text(script)
    with running(daemon):
        pid = int(str(daemon.row("ghidraagent")["pid"]))
        async with (
            httpx.AsyncClient(base_url=daemon.url, timeout=LIMIT, verify=PLAIN) as http,
            http.stream("POST", "/api/chat", json=body_for("ghidraagent", stream=True)) as answer,
        ):
            lines = answer.aiter_lines()
            first = await anext(lines)
            os.kill(pid, signal.SIGKILL)
            rest = [json.loads(line) async for line in lines]
        assert json.loads(first)["done"] is False
        assert "went away" in rest[-1]["error"]


def test_lists_wake_nobody_and_a_chat_wakes_the_agent(daemon: Daemon) -> None:
    with running(daemon):
        assert daemon.row("sleeper")["phase"] == "asleep"
        tags = daemon.get("/api/tags").json()["models"]
        assert [model["name"] for model in tags] == ["ghidraagent:latest", "sleeper:latest"]
        daemon.get("/v1/models").raise_for_status()
        daemon.get("/api/ps").raise_for_status()
        row = daemon.row("sleeper")
        assert (row["phase"], row["generation"]) == ("asleep", 0)

        said = httpx.post(
            daemon.url + "/api/chat", json=body_for("Sleeper"), timeout=LIMIT, verify=PLAIN
        )
        assert said.json()["message"]["content"] == "Hello from Sleeper"
        seen = daemon.get("/api/tags").json()["models"]
        assert seen[1]["digest"] == tags[1]["digest"], "as it was foretold"
        daemon.wait_for("sleeper", phase="asleep", pid=None)
        assert daemon.get("/api/tags").json()["models"] == seen
        show = httpx.post(daemon.url + "/api/show", json={"model": "sleeper"}, verify=PLAIN)
        assert show.json()["capabilities"]
        assert daemon.row("sleeper")["phase"] == "asleep"


def test_a_stopped_agent_says_so_and_comes_back(daemon: Daemon) -> None:
    url = daemon.url + "/api/chat"
    with running(daemon):
        daemon.post("/api/v1/agents/ghidraagent/stop")
        refused = httpx.post(url, json=body_for("ghidraagent"), timeout=LIMIT, verify=PLAIN)
        assert (refused.status_code, "`atoll start" in refused.json()["error"]) == (503, True)
        daemon.post("/api/v1/agents/ghidraagent/start")
        eventually(lambda: len(daemon.get("/api/tags").json()["models"]) == 2)
        said = httpx.post(url, json=body_for("ghidraagent"), timeout=LIMIT, verify=PLAIN)
        assert said.status_code == 200
