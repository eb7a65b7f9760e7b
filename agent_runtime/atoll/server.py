"""One agent as a process: from a manifest and a socket to a clean stop.

Run by a person (`python -m atoll --server`) or by a supervisor, which hands the
listening socket over by systemd's protocol and hears of the agent on a channel
(`adapters/channel.py`).
"""

import asyncio
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import uvloop
from litestar import Litestar

from atoll.adapters.channel import Channel, KeeperGone, beating, open_channel
from atoll.config.load import Loaded, load_manifest
from atoll.config.loopback import is_loopback
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Llm, Manifest
from atoll.config.places import places_of
from atoll.errors import AtollError, ClientError, ConfigError
from atoll.http.activity import Activity
from atoll.http.app import guarded
from atoll.http.relayed import Attended, Front, front_of
from atoll.http.serving import HttpServer
from atoll.http.sockets import bind, inherited
from atoll.loop.agent import Agent
from atoll.loop.opening import open_agent

TOKEN = "ATOLL_AGENT_TOKEN"  # noqa: S105  a variable's name, no secret
"""The variable with this agent's token; it is needed to listen beyond loopback."""

KEY = "ATOLL_DELEGATION_KEY"
"""The variable with the key by which the agents of a fleet know each other's calls."""
_RING = "UV_USE_IO_URING"
OK, FAILED, USAGE, BAD_CONFIG, INTERRUPTED = 0, 1, 2, 5, 130

_ASSISTANT = Manifest(
    agent=AgentTable(name="Assistant", description="A general assistant."),
    llm=Llm(system_prompt="You are a helpful assistant. Answer briefly and plainly."),
)


class _Start(NamedTuple):
    """What a start begins with."""

    loaded: Loaded
    sock: socket.socket
    channel: Channel
    environ: Mapping[str, str]
    routes: Litestar | None
    key: str
    front: Front | None


def run_agent(
    path: Path | None,
    host: str,
    port: int,
    environ: MutableMapping[str, str],
    routes: Litestar | None = None,
) -> int:
    """Serve the agent of the manifest at `path`, or a plain assistant, until told to stop.

    `routes` may have been made beforehand (`agent_routes`). Returns the exit
    code: 0 after a stop, 5 for a wrong manifest, 2 for an address that may not
    be used, 1 for everything else that went wrong.
    """
    try:
        channel = open_channel(environ)
        key = environ.pop(KEY, "")  # nothing that the agent starts is to have it
        front = front_of(environ)
        sock = inherited(environ, os.getpid())
        loaded = load_manifest(path, environ) if path else _assistant()
        reached = sock.getsockname()[0] if sock else host
        _check_reach(front.host if front else reached, environ)
        start = _Start(loaded, sock or bind(host, port), channel, environ, routes, key, front)
        uvloop.run(_serve(start), loop_factory=_new_loop)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ConfigError as error:
        return _told(str(error), BAD_CONFIG)
    except ClientError as error:
        return _told(str(error), USAGE)
    except AtollError as error:
        return _told(str(error), FAILED)
    return OK


def _check_reach(host: str, environ: Mapping[str, str]) -> None:
    """Raise ClientError when `host` can be reached from elsewhere and there is no token."""
    if is_loopback(host):
        return
    if not environ.get(TOKEN):
        raise ClientError(
            f"refused to listen on {host} without a token: set {TOKEN}, or use --host 127.0.0.1"
        )
    _say(f"warning: {host} is served without TLS; put a proxy with TLS in front of it")


def _new_loop() -> uvloop.Loop:
    """A loop without io_uring, which costs 0.2 MiB and 2 descriptors and saves only epoll_ctl."""
    if _RING in os.environ:
        return uvloop.new_event_loop()
    os.environ[_RING] = "0"
    try:
        return uvloop.new_event_loop()
    finally:
        del os.environ[_RING]  # what the agent starts is to decide for itself


async def _serve(start: _Start) -> None:
    places = places_of(start.environ, os.getuid())
    agent = await open_agent(
        start.loaded, places, start.environ, _say, start.key, elsewhere=start.front is not None
    )
    try:
        await _until_told(agent, start)
        with suppress(KeeperGone):
            start.channel.stopping()
    finally:
        await agent.close()


async def _until_told(agent: Agent, start: _Start) -> None:
    """Serve until a signal says to leave and the last request is answered."""
    host, port = start.sock.getsockname()[:2]
    front = start.front or Front(host, socket.gethostname(), "")
    token = start.environ.get(TOKEN, "")
    app = Activity(guarded(agent, front.host, front.machine, token, start.routes))
    attended = Attended(app, lambda: app.pulse) if start.front else None
    server = HttpServer(
        attended or app,
        start.sock,
        stop_timeout=agent.manifest.deployment.stop_timeout,
        lifespan=False,
        websockets=True,
        key=front.key,
    )
    _obey_signals(server, start.channel, attended)
    serving = asyncio.create_task(server.serve())
    if await server.started():
        shown = f"[{host}]" if ":" in host else host
        _say(f"{agent.name} serves http://{shown}:{port}")
        reporting = asyncio.create_task(
            _leave_with_relay(attended, server) if attended else _report(start.channel, app, server)
        )
        serving.add_done_callback(lambda _: reporting.cancel())
    await serving


async def _report(channel: Channel, app: Activity, server: HttpServer) -> None:
    """Tell the keeper; if it is gone there is nobody to serve for."""
    try:
        channel.ready()
        channel.beat(app.pulse)
        await beating(channel, lambda: app.pulse)
    except KeeperGone:
        _say("whoever started this agent is gone: it stops")
        server.leave()


async def _leave_with_relay(attended: Attended, server: HttpServer) -> None:
    """A job whose relay is gone, and has no successor, must not hold its node for ever."""
    _say(await attended.until_left())
    server.leave()


def _obey_signals(server: HttpServer, channel: Channel, attended: Attended | None) -> None:
    """The first signal drains, the second one does not wait any longer."""

    def leave() -> None:
        with suppress(KeeperGone):
            channel.draining()
        if attended is None or not attended.leave():
            server.leave()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)


def _assistant() -> Loaded:
    """What is served without --agent, as the source page shows."""
    text = _ASSISTANT.llm.system_prompt.encode()
    return Loaded(
        manifest=_ASSISTANT,
        path=Path.cwd() / "agent.toml",
        checksum=hashlib.sha256(text).hexdigest(),
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _told(message: str, code: int) -> int:
    _say(message)
    return code
