"""The daemon put together: lock, token, fleet, management API, signals."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from atoll import __version__
from atoll.adapters.private import private_directory
from atoll.config.loopback import authority, is_loopback
from atoll.config.places import Places
from atoll.errors import ConfigError, Problem
from atoll.http.guard import GuardRules
from atoll.http.serving import HttpServer
from atoll.http.sockets import bind
from atoll_supervisor.api.app import create_app
from atoll_supervisor.api.auth import Access
from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.row import Row
from atoll_supervisor.loop.fleet_loop import FleetLoop, Machine
from atoll_supervisor.settings import Settings
from atoll_supervisor.shell.journal import Journal
from atoll_supervisor.shell.lock import Lock
from atoll_supervisor.shell.plan import Planner
from atoll_supervisor.shell.token import ensure_token

API_STOP_TIMEOUT = 5.0
"""Seconds that management requests get to finish when the daemon goes down."""
SETTLE_LIMIT = 10.0
"""Seconds after which `started` is told although some unit is still on its way up."""

FIRST_STEPS = (("stopped", "starting"), ("starting", "running"))
"""Transitions of a start that goes well."""

Started = Callable[[Sequence[Row], str], None]


def run(settings: Settings, places: Places, started: Started) -> None:
    """Run the daemon until SIGTERM or SIGINT, then stop every unit.

    `started(rows, url)` is called once, when every unit serves or has failed.
    A second signal kills what is left at once. Raises AtollError when the
    daemon cannot start: another one runs, a port is taken, a file is wrong.
    """
    _check_reach(settings)
    for folder in (places.state, places.runtime, places.logs):
        private_directory(folder)
    lock = Lock.acquire(places.lock, settings.api_port, places.state)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Daemon(settings, places, started).main())
    finally:
        lock.release()


def _check_reach(settings: Settings) -> None:
    """Beyond loopback agents need a token of their own: the management token is not for clients."""
    if is_loopback(settings.host):
        return
    if not os.environ.get("ATOLL_AGENT_TOKEN"):
        message = "a bind address other than loopback needs a token for the agents' clients"
        hint = "set ATOLL_AGENT_TOKEN to a secret of your own, or use --host 127.0.0.1"
        raise ConfigError(Problem(file=f"--host {settings.host}", message=message, hint=hint))
    say(f"warning: {settings.host} is served without TLS; put a proxy with TLS in front of it")


class Daemon:
    """One run of the daemon."""

    def __init__(self, settings: Settings, places: Places, started: Started) -> None:
        self._settings = settings
        self._started = started
        self._leave = asyncio.Event()
        self._settled = False
        self._on_terminal = sys.stdin.isatty()  # asked now: a terminal that hung up denies it
        self._url = f"http://{authority(settings.host, settings.api_port)}"
        self._planner = Planner(settings.agents_dir, settings.max_agents, places, dict(os.environ))
        self._look = asyncio.Event()
        self._down = asyncio.Event()
        self._access = Access(ensure_token(places.token) if settings.auth == "token" else None)
        machine = Machine(time.monotonic, time.time, random.random, self._tell, say)
        self._fleet = FleetLoop(
            machine,
            settings.host,
            settings.api_port,
            settings.base_port,
            places.logs,
            Journal(places.state / "fleet.toml"),
        )

    async def main(self) -> None:
        """Serve until told to leave, then leave nothing behind."""
        sock = bind(self._settings.host, self._settings.api_port, "--api-port")
        server = self._server(sock)
        self._take_signals()
        for warning in self._fleet.warnings:
            say(warning)
        await self._discover()
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve())
            background = [group.create_task(self._fleet.run()), group.create_task(self._reload())]
            group.create_task(self._announce())
            try:
                await self._leave.wait()
            finally:  # also when one of the tasks failed: agents are drained, not cut off
                await self._fleet.shut_down()
                self._down.set()
            for task in background:
                task.cancel()
            await server.drain()

    async def _discover(self) -> None:
        self._fleet.discovered(await self._planner.look(say))

    async def _reload(self) -> None:
        """Look at the agents directory again when asked to; many wishes at once are one look."""
        while True:
            await self._look.wait()
            self._look.clear()
            say("reading the agents directory again")
            try:
                await self._discover()
            except Exception as error:  # noqa: BLE001  a look that fails must not end the fleet
                say(f"{error}; everything stays as it is")

    def _server(self, sock: socket.socket) -> HttpServer:
        settings = self._settings
        rules = GuardRules(
            bind_host=settings.host,
            machine=socket.gethostname(),
            allowed_hosts=settings.allowed_hosts,
            allowed_origins=settings.allowed_origins,
            same_origin_only=True,
            hosts_setting="[daemon] allowed_hosts in atoll.toml, or to ATOLL_ALLOWED_HOSTS",
        )
        app = create_app(self._fleet, self._access, rules, __version__, leaving=self._down)
        return HttpServer(app, sock, stop_timeout=API_STOP_TIMEOUT)

    async def _announce(self) -> None:
        try:
            async with asyncio.timeout(SETTLE_LIMIT):
                await self._fleet.settled()
        except TimeoutError:
            say(f"some agents are still starting after {SETTLE_LIMIT:.0f} s")
        self._settled = True
        if not self._leave.is_set():
            self._show()

    def _show(self) -> None:
        """Tell that everything is up; a reader that is gone (`atoll up | head`) is no fault."""
        try:
            self._started(self._fleet.rows(), self._url)
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 1)

    def _tell(self, slug: str, record: Record) -> None:
        """A transition as a log line; a first start that goes well is told by the start-up text."""
        on_its_way_up = (record.before, record.after) in FIRST_STEPS
        if self._settled or not on_its_way_up:
            say(f"{slug}: {record.before} -> {record.after}: {record.cause}")

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_leave)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def _hung_up(self) -> None:
        """A terminal that is gone ends what it showed; to a daemon, SIGHUP means: look again."""
        if self._on_terminal:
            self._asked_to_leave()
        else:
            self._look.set()

    def _asked_to_leave(self) -> None:
        if self._leave.is_set():
            self._fleet.kill_all()
        self._leave.set()


def say(text: str) -> None:
    """One line of the daemon's own log, on standard error; one that nobody can read is lost."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with suppress(OSError):  # a closed terminal, a full disk, a reader that went away
        os.write(2, f"{stamp} {text}\n".encode(errors="backslashreplace"))
