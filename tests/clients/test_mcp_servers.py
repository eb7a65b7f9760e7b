"""MCP servers of other people, as PyPI and npm install them, give an agent their tools."""

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from atoll.config.manifest import McpServer
from tests.fakes.tool_servers import LIMIT, opened

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".venv" / "clients"
TIME = INSTALLED / "bin" / "mcp-server-time"
EVERYTHING = INSTALLED / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
SDK = ROOT / "tests" / "fakes" / "mcp_sdk.py"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here")


async def test_the_time_server_of_pypi_speaks_the_modern_era(tmp_path: Path) -> None:
    assert TIME.exists(), "make setup installs it"
    server = McpServer(command=str(TIME), args=("--local-timezone", "Europe/Rome"))
    async with opened(tmp_path, time=server) as bench:
        assert bench.names == ["time.get_current_time", "time.convert_time"]
        assert f"MCP server time is connected, protocol {MODERN}, 2 tools" in bench.said
        outcome = await bench.call("time.get_current_time", timezone="Asia/Tokyo")
        assert not outcome.failed
        assert json.loads(outcome.text)["timezone"] == "Asia/Tokyo"
        assert (await bench.call("time.get_current_time", timezone="No/Where")).failed


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


async def listens(port: int) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@asynccontextmanager
async def everything(kind: str, path: str) -> AsyncIterator[str]:
    """The URL of the server of npm that shows every feature."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *("node", str(EVERYTHING), kind),
        env={"PORT": str(port)},
        executable=shutil.which("node"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await listens(port)
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        process.kill()
        await process.wait()


async def uses(folder: Path, server: McpServer, era: str) -> None:
    async with opened(folder, every=server) as bench:
        assert any(f"is connected, protocol {era}" in line for line in bench.said), bench.said
        assert (await bench.call("every.echo", message="hi")).text == "Echo: hi"
        assert (await bench.call("every.echo")).failed
        assert "[image of type image/png: left out]" in (
            (await bench.call("every.get-tiny-image")).text
        )


@NODE
async def test_the_everything_server_of_npm_over_stdio(tmp_path: Path) -> None:
    assert EVERYTHING.exists(), "make setup installs it, with npm"
    await uses(tmp_path, McpServer(command="node", args=(str(EVERYTHING), "stdio")), LEGACY)


@NODE
async def test_the_everything_server_of_npm_over_sse(tmp_path: Path) -> None:
    async with everything("sse", "/sse") as url:
        await uses(tmp_path, McpServer(type="sse", url=url), LEGACY)


@NODE
async def test_the_everything_server_of_npm_over_streamable_http(tmp_path: Path) -> None:
    async with everything("streamableHttp", "/mcp") as url:
        await uses(tmp_path, McpServer(type="http", url=url), LEGACY)


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_a_server_of_the_official_sdk_speaks_the_modern_era(
    tmp_path: Path, kind: str
) -> None:
    if kind == "stdio":
        return await adds(tmp_path, McpServer(command=sys.executable, args=(str(SDK), "stdio")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SDK), "http"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(LIMIT):
            url = (await process.stdout.readline()).decode().strip()
        await adds(tmp_path, McpServer(type="http", url=url))
    finally:
        process.kill()
        await process.communicate()


async def adds(folder: Path, server: McpServer) -> None:
    async with opened(folder, sdk=server) as bench:
        assert any(f"protocol {MODERN}, 2 tools" in line for line in bench.said), bench.said
        assert (await bench.call("sdk.add", a=2, b=3)).text == "5"
        refused = await bench.call("sdk.refuse")
        assert refused.failed
        assert "refuse" in refused.text
