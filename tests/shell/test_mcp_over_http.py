"""Servers of MCP behind a URL, good ones and hostile ones, as real processes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from atoll.config.manifest import McpServer
from atoll.ports import Outcome
from tests.fakes.tool_servers import LIMIT, opened

pytestmark = pytest.mark.anyio

FAKE = Path(__file__).parents[1] / "fakes" / "mcp_http.py"


@asynccontextmanager
async def served(mode: str, **fields) -> AsyncIterator[McpServer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(FAKE), mode), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(LIMIT):
        url = (await process.stdout.readline()).decode().strip()
    try:
        yield McpServer(type="http", url=url, **fields)
    finally:
        process.kill()
        await process.communicate()


async def test_a_server_that_forgets_our_session_is_met_again(tmp_path: Path) -> None:
    """What the server refused unseen is called once more, as after its restart."""
    async with served("forgets") as server, opened(tmp_path, a=server) as bench:
        for text in ("one", "two", "three"):
            assert await bench.call("a.echo", text=text) == Outcome(text)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("big", "it sent over 4194304 bytes"),
        ("packed", "it sent a packed body"),
        ("events", "it sent more messages in a second"),
        ("silent", "did not finish within 3 s"),
        ("elsewhere", "Redirect to http://192.0.2.1/mcp not followed"),
        ("html", "Unexpected content type: text/html"),
        ("breaks", "peer closed connection"),
    ],
)
async def test_a_hostile_answer_fails_its_call_and_nothing_else(
    tmp_path: Path, mode: str, reason: str
) -> None:
    async with (
        served("good") as good,
        served(mode, timeout_seconds=3) as bad,
        opened(tmp_path, a=bad, good=good) as bench,
    ):
        outcome = await bench.call("a.echo")
        assert outcome.failed
        await bench.until(lambda: reason in "\n".join((outcome.text, *bench.said)))
        assert await bench.call("good.echo", text="hi") == Outcome("hi")


async def test_a_server_that_is_not_there_is_done_without(tmp_path: Path) -> None:
    nobody = McpServer(type="http", url="http://127.0.0.1:9/mcp")
    async with served("good") as good, opened(tmp_path, a=nobody, good=good) as bench:
        assert bench.names == ["good.echo"]
        assert bench.tools.warnings == ("MCP server a does not work: nothing answers at its url",)


async def test_a_server_that_does_not_answer_our_good_bye_is_left(tmp_path: Path) -> None:
    async with served("clings") as server, opened(tmp_path, a=server) as bench:
        assert await bench.call("a.echo", text="hi") == Outcome("hi")
