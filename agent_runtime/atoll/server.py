"""One agent as a process: from a manifest and a socket to a clean stop.

Run by a person (`python -m atoll --server`) or by a supervisor, which hands the
listening socket over by systemd's protocol and hears on its own channel when
the agent serves.
"""

import asyncio
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import uvloop

from atoll.adapters.parent import die_with_parent
from atoll.adapters.ready import tell_ready
from atoll.config.load import Loaded, load_manifest
from atoll.config.loopback import is_loopback
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Llm, Manifest
from atoll.config.places import places_of
from atoll.errors import AtollError, ClientError, ConfigError
from atoll.http.app import guarded
from atoll.http.serving import HttpServer
from atoll.http.sockets import bind, inherited
from atoll.loop.opening import open_agent

TOKEN = "ATOLL_AGENT_TOKEN"  # noqa: S105  a variable's name, no secret
"""The variable with this agent's token; it is needed to listen beyond loopback."""

OK, FAILED, USAGE, BAD_CONFIG, INTERRUPTED = 0, 1, 2, 5, 130

_ASSISTANT = Manifest(
    agent=AgentTable(name="Assistant", description="A general assistant."),
    llm=Llm(system_prompt="You are a helpful assistant. Answer briefly and plainly."),
)


def run_agent(path: Path | None, host: str, port: int, environ: MutableMapping[str, str]) -> int:
    """Serve the agent of the manifest at `path`, or a plain assistant, until told to stop.

    Returns the exit code: 0 after a stop, 5 for a wrong manifest, 2 for an
    address that may not be used, 1 for everything else that went wrong.
    """
    try:
        if "ATOLL_SUPERVISED" in environ:
            die_with_parent()
        sock = inherited(environ, os.getpid())
        loaded = load_manifest(path, environ) if path else _assistant()
        _check_reach(sock.getsockname()[0] if sock else host, environ)
        uvloop.run(_serve(loaded, sock or bind(host, port), environ))
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


async def _serve(loaded: Loaded, sock: socket.socket, environ: Mapping[str, str]) -> None:
    agent = await open_agent(loaded, places_of(environ, os.getuid()), environ, _say)
    try:
        host, port = sock.getsockname()[:2]
        stop_timeout = agent.manifest.deployment.stop_timeout
        app = guarded(agent, host, socket.gethostname(), environ.get(TOKEN, ""))
        server = HttpServer(app, sock, stop_timeout=stop_timeout)
        _obey_signals(server)
        serving = asyncio.create_task(server.serve())
        if await server.started():
            shown = f"[{host}]" if ":" in host else host
            _say(f"{agent.name} serves http://{shown}:{port}")
            _announce(server, environ)
        await serving
    finally:
        await agent.close()


def _announce(server: HttpServer, environ: Mapping[str, str]) -> None:
    """Tell the supervisor; if it died before it could hear that, there is nobody to serve for."""
    try:
        tell_ready(environ)
    except BrokenPipeError:
        _say("whoever started this agent is gone: it stops")
        server.leave()


def _obey_signals(server: HttpServer) -> None:
    """The first signal drains, the second one does not wait any longer."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.leave)


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
