"""Everything an agent imports and fills between its fork and its first answers, done beforehand.

A rehearsal is surer than a list of modules: agents over each kind of back end
answer requests of each kind over real connections, then everything they held is
closed. Their model's server is one more agent, on the back end `demo`. What
stays is imported modules, filled caches, and routes for the agents to come.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from litestar import Litestar

from atoll.adapters.listening import listen, port_of
from atoll.config.load import load_manifest
from atoll.config.places import places_of
from atoll.http.activity import Activity
from atoll.http.app import agent_routes, guarded
from atoll.http.serving import HttpServer
from atoll.loop.opening import open_agent

_HOST = "127.0.0.1"
_ROUNDS = 3
"""CPython rewrites a function that was called often: better here than once in every agent.

Three rounds make each agent 0.2 MiB smaller, ten no more than that.
"""
_AGENT = '[agent]\nname = "rehearsal"\n[llm]\nprovider = '
_DEMO = f'{_AGENT}"demo"\n'
_OVER_IT = (
    f'{_AGENT}"ollama"\nmodel = "rehearsal"\nbase_url = "%s"\n',
    f'{_AGENT}"openai"\nmodel = "rehearsal"\nbase_url = "%s/v1"\n',
)
_CHAT = '{"model":"rehearsal","messages":[{"role":"user","content":"hi"}],"stream":%s}'
_SPOKEN = (
    ("GET", "/health", ""),
    ("GET", "/", ""),
    ("GET", "/api/tags", ""),
    ("GET", "/nothing", ""),
    ("POST", "/api/generate", '{"model":"rehearsal","prompt":"hi"}'),
    ("POST", "/api/chat", _CHAT % "false"),
    ("POST", "/api/chat", _CHAT % "true"),
    ("POST", "/v1/chat/completions", _CHAT % "false"),
    ("POST", "/v1/chat/completions", _CHAT % "true"),
)


def rehearse() -> Litestar:
    """Run agents from their manifests to their ends; returns the routes for the real ones."""
    import_module("atoll.server")  # which `cli` imports only when an agent is to be served
    routes = agent_routes()
    with tempfile.TemporaryDirectory(prefix="atoll-rehearsal-") as folder:
        # Not on uvloop: libuv keeps descriptors for good, which no agent may inherit.
        asyncio.run(_perform(Path(folder), routes))
    routes.state.clear()
    return routes


async def _perform(folder: Path, routes: Litestar) -> None:
    async with _served(folder, _DEMO, agent_routes()) as upstream:
        for manifest in _OVER_IT * _ROUNDS:
            async with _served(folder, manifest % f"http://{_HOST}:{upstream}", routes) as port:
                for method, path, body in _SPOKEN:
                    await _ask(port, method, path, body)


@asynccontextmanager
async def _served(folder: Path, manifest: str, routes: Litestar) -> AsyncGenerator[int, None]:
    """An agent that serves on the port which is given."""
    path = folder / "agent.toml"
    path.write_text(manifest)
    environ = {"HOME": str(folder), "ATOLL_STATE_DIR": str(folder)}
    agent = await open_agent(load_manifest(path, {}), places_of(environ, 0), environ, _unheard)
    sock = listen(_HOST, 0)
    app = Activity(guarded(agent, _HOST, "", "", routes))
    server = HttpServer(app, sock, stop_timeout=1.0, lifespan=False, websockets=True)
    port, serving = port_of(sock), asyncio.create_task(server.serve())
    try:
        await server.started()
        yield port
    finally:
        server.leave()
        await serving
        await agent.close()


async def _ask(port: int, method: str, path: str, body: str) -> None:
    """One request on a connection of its own, read to its end."""
    reader, writer = await asyncio.open_connection(_HOST, port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    await reader.read()
    writer.close()
    await writer.wait_closed()


def _unheard(_sentence: str) -> None:
    """What an agent says of itself at its start is of no interest here."""
