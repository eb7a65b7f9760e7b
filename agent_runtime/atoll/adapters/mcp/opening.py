"""From `[mcp_servers]` to connected servers; the one door to this package."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import assert_never

from atoll.adapters.mcp.environment import environment
from atoll.adapters.mcp.link import Link, Streams
from atoll.adapters.mcp.over_http import sse, streamable
from atoll.adapters.mcp.relay import Say
from atoll.adapters.mcp.server import Connect, ToolServer
from atoll.adapters.mcp.session import Era, opened
from atoll.adapters.mcp.stdio import Command, run_server
from atoll.adapters.mcp.toolbox import McpTools
from atoll.config.manifest import Manifest, McpServer

_LOGGERS = ("mcp", "client")
"""The SDK logs with tracebacks, as often as a server likes; what matters is told by us."""


async def open_mcp(
    manifest: Manifest, folder: Path, environ: Mapping[str, str], say: Say
) -> McpTools:
    """The tools of the manifest's servers, all of them started at once.

    A server that cannot be used is told to `say` and does without. Raises
    ConfigError for an env_file that is wrong.
    """
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    servers = [
        ToolServer(
            name,
            _connector(server, folder, environment(server, folder, environ), _labelled(name, say)),
            server.timeout_seconds,
            manifest.tools.max_result_chars,
            say,
        )
        for name, server in manifest.mcp_servers.items()
    ]
    tools = McpTools(servers, manifest.tools.allow)
    try:
        await tools.start()
    except asyncio.CancelledError:
        await tools.close()
        raise
    return tools


def _connector(server: McpServer, folder: Path, environ: Mapping[str, str], say: Say) -> Connect:
    era = Era()
    return lambda link: opened(_transport(server, folder, environ, link, say), link, era)


def _transport(
    server: McpServer, folder: Path, environ: Mapping[str, str], link: Link, say: Say
) -> AbstractAsyncContextManager[Streams]:
    match server.type:
        case "stdio":
            place = folder / (server.cwd or "")
            return run_server(Command(server.command or "", server.args, place, environ), link, say)
        case "sse":
            return sse(server)
        case "http":
            return streamable(server)
        case _:
            assert_never(server.type)


def _labelled(name: str, say: Say) -> Say:
    return lambda line: say(f"MCP server {name}: {line}")
