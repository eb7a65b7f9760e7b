"""The daemon put together: lock, token, keeper, fleet, management API, signals."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop

from atoll import __version__
from atoll.adapters.private import private_directory
from atoll.config.loopback import authority, is_loopback
from atoll.config.places import Places
from atoll.errors import ConfigError, Problem
from atoll.http.serving import HttpServer
from atoll_supervisor.api.app import create_app
from atoll_supervisor.api.auth import Access
from atoll_supervisor.api.doors import rules_of
from atoll_supervisor.core.happening import Happening, log_line
from atoll_supervisor.core.row import Row
from atoll_supervisor.keeper.protocol import Leave, Process
from atoll_supervisor.loop.assembly import for_agents, make_fleet, make_runs
from atoll_supervisor.loop.keeping import Keeping
from atoll_supervisor.loop.looks import Looks
from atoll_supervisor.loop.runtime import Runtime
from atoll_supervisor.loop.services.assembly import begin_services, make_services
from atoll_supervisor.settings import Settings
from atoll_supervisor.shell import checkup
from atoll_supervisor.shell.database_thread import DatabaseThread
from atoll_supervisor.shell.event_log import EventLog
from atoll_supervisor.shell.keepers import Reached, reach
from atoll_supervisor.shell.lock import Lock
from atoll_supervisor.shell.notify import Notifier
from atoll_supervisor.shell.own_port import OwnPort, Wish, own_port
from atoll_supervisor.shell.plan import Planner
from atoll_supervisor.shell.saying import say, write
from atoll_supervisor.shell.successor import (
    become,
    hold_signals,
    keep_signal,
    rehearse,
    take_signals,
)
from atoll_supervisor.shell.token import ensure_token

API_STOP_TIMEOUT = 5.0
"""Seconds that management requests get to finish when the daemon goes down."""
SETTLE_LIMIT = 10.0
"""Seconds after which `started` is told although some unit is still on its way up."""
KILL_LIMIT = 2.0
"""Seconds that the keeper has to kill everything when it is told to, before it is killed itself."""

FIRST_STEPS = (("stopped", "starting"), ("starting", "running"))
"""Transitions of a start that goes well."""

Started = Callable[[Sequence[Row], str], None]


def run(settings: Settings, places: Places, started: Started) -> None:
    """Run the daemon until SIGTERM or SIGINT, then stop every unit.

    `started(rows, url)` is called once, when every unit serves or has failed.
    A second signal kills what is left at once. Raises AtollError when the
    daemon cannot start: another one runs, a port is taken, a file is wrong.
    """
    environ = dict(os.environ)
    _check_reach(settings)
    for folder in (places.state, places.runtime, places.logs):
        private_directory(folder)
    lock = Lock.acquire(places.lock, settings.api_port, places.state, os.environ)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            passed_on = runner.run(Daemon(settings, places, started).main())
        if passed_on is not None:
            lock.pass_on(environ)
            passed_on.pass_on(environ)
            become(environ)
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
    """One run of the daemon; the `ports.Upkeep` of its API."""

    def __init__(self, settings: Settings, places: Places, started: Started) -> None:
        self._settings = settings
        self._places = places
        self._started = started
        self._leave = asyncio.Event()
        self._down = asyncio.Event()
        self._upgrade = False
        self._handed_over = False
        self._settled = False
        self._on_terminal = sys.stdin.isatty()  # asked now: a terminal that hung up denies it
        self._url = f"http://{authority(settings.host, settings.api_port)}"
        token = ensure_token(places.token) if settings.auth == "token" else None
        self._access = Access(token, os.environ.get("ATOLL_AGENT_TOKEN", ""))
        self._notifier = Notifier.from_environ(os.environ)
        disk = DatabaseThread(places.state / "atoll.db")
        self._events = EventLog(disk, tell=self._tell)
        self._fleet = make_fleet(settings, places, self._events)
        self._runs = make_runs(settings, disk, self._fleet, self._access.work_token)
        self._services = make_services(settings, places, os.environ, disk, self._events.note)
        hands = self._fleet.hands
        self._runtime = Runtime(hands, places.state / "template.log", os.environ)
        log = places.state / "keeper.log"
        self._reach = partial(reach, places.keeper, log, os.environ)
        self._keeping = Keeping(self._fleet, self._runtime, self._reach, self._note)
        environ = {**os.environ, **for_agents(settings, places)}
        self._planner = Planner(settings.agents_dir, settings.max_agents, places, environ)
        self._looks = Looks(self._planner, self._fleet, self._note)

    async def main(self) -> OwnPort | None:
        """Serve until told to leave, then leave nothing behind.

        An upgrade leaves everything: the answer is what the next program is to be given.
        """
        self._take_signals()
        for warning in self._fleet.warnings:
            self._note(warning)
        if fault := checkup.loopback().fault:
            self._note(f"agents cannot be reached from here: {fault}")
        try:
            own = await self._serve(await self._reach())
        finally:
            await self._runs.close()
            await self._services.close()
            await self._events.close()
        return own if self._upgrade else None

    async def _serve(self, reached: Reached) -> OwnPort:
        """Take over what there is, and supervise until told to leave."""
        try:
            own = await self._begin(reached)
        except BaseException:
            if reached.fresh:
                reached.link.send(Leave())
            raise
        try:
            await self._supervise(self._server(own.sock))
        finally:
            self._fleet.close()
            self._keeping.close()
        return own

    async def _begin(self, reached: Reached) -> OwnPort:
        """What has to be right before anything is served; what runs already is left running."""
        self._adopt(reached)
        settings = self._settings
        wish = Wish(settings.host, settings.api_port)
        own = await own_port(wish, reached.link, reached.states, os.environ)
        look = asyncio.create_task(self._looks.look())
        leave = asyncio.create_task(self._leave.wait())
        await asyncio.wait((look, leave), return_when=asyncio.FIRST_COMPLETED)
        leave.cancel()
        if look.done():
            look.result()
        look.cancel()
        return own

    def _adopt(self, reached: Reached) -> None:
        """First of all: from here on nothing that happens to what runs is missed."""
        self._fleet.adopt(reached.link, reached.states)
        note = self._events.note
        settings, places = self._settings, self._places
        begin_services(self._services, self._fleet, settings, places, os.environ, note)
        self._keeping.begin(reached)
        found = sum(isinstance(state, Process) for state in reached.states)
        if found:
            self._note(f"took over {found} processes of keeper {reached.pid}")
            if "ATOLL_DEFAULT_LLM" not in os.environ:
                self._planner.default = self._fleet.default_llm

    async def _supervise(self, server: HttpServer) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve())
            background = [
                group.create_task(self._fleet.run(self._beat, self._notifier.interval)),
                group.create_task(self._keeping.run()),
                group.create_task(self._services.run()),
                group.create_task(self._looks.run()),
                group.create_task(self._runs.main()),
                group.create_task(self._looks.watch(self._settings.agents_dir)),
            ]
            group.create_task(self._announce(server))
            await self._leave.wait()
            await self._go(server)
            for task in background:
                task.cancel()

    async def _go(self, server: HttpServer) -> None:
        """End the fleet and then the API; an upgrade ends the API alone."""
        if self._upgrade:
            self._notifier.reloading()
            self._down.set()
            await server.drain()
        if self._upgrade:
            hold_signals()
            self._handed_over = True
        else:  # also when somebody wants it all to end meanwhile
            self._notifier.stopping()
            self._runs.leave()
            self._services.hush()
            if not await self._fleet.shut_down():
                self._note("nothing ends any more: the keeper does not answer, and is killed")
                self._keeping.kill()
            await self._keeping.leave()
            self._down.set()
            await server.drain()

    # ports.Upkeep

    async def reload(self) -> None:
        """Read the agents directory again; raises LookFailed."""
        await self._looks.asked()

    async def reload_runtime(self) -> tuple[str, ...]:
        """Have agents forked from the runtime on the disk; raises RuntimeFailed."""
        await self._runtime.renew()
        return self._fleet.renew("the runtime was reloaded")

    async def upgrade(self) -> None:
        """Become the program on the disk, unless that does not start: raises UpgradeFailed."""
        await rehearse()
        if not self._leave.is_set():
            self._note("becoming the program on the disk; no agent is touched")
            self._upgrade = True
            self._leave.set()

    # inside

    def _server(self, sock: socket.socket) -> HttpServer:
        app = create_app(
            self._fleet,
            self._access,
            rules_of(self._settings),
            __version__,
            events=self._events,
            runs=self._runs,
            upkeep=self,
            services=self._services,
            leaving=self._down,
        )
        return HttpServer(app, sock, stop_timeout=API_STOP_TIMEOUT)

    async def _announce(self, server: HttpServer) -> None:
        """Tell systemd that the API answers, and whoever watches when every unit is up."""
        if await server.started():
            self._notifier.ready()
        try:
            async with asyncio.timeout(SETTLE_LIMIT):
                await self._fleet.settled()
        except TimeoutError:
            self._note(f"some agents are still starting after {SETTLE_LIMIT:.0f} s")
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

    def _beat(self) -> None:
        """The loop that decides is alive."""
        rows = self._fleet.rows()
        running = sum(row.status == "running" for row in rows)
        self._notifier.status(f"{running} of {len(rows)} agents run")
        self._notifier.watchdog()

    def _note(self, text: str) -> None:
        self._events.note(text)

    def _tell(self, happening: Happening) -> None:
        """An event as a log line; a first start that goes well is told by the start-up text."""
        on_its_way_up = (happening.before, happening.after) in FIRST_STEPS
        if self._settled or not on_its_way_up:
            write(log_line(happening))

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_leave)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        take_signals()

    def _hung_up(self) -> None:
        """A terminal that is gone ends what it showed; to a daemon, SIGHUP means: look again."""
        if self._on_terminal:
            self._asked_to_leave()
        else:
            self._note("reading the agents directory again")
            self._looks.ask()

    def _asked_to_leave(self) -> None:
        if self._handed_over:  # it is too late to stop anything: the next program does
            keep_signal()
            return
        if self._leave.is_set() and not self._upgrade:
            self._fleet.kill_all()
            asyncio.get_running_loop().call_later(KILL_LIMIT, self._keeping.kill)
        self._upgrade = False
        self._leave.set()
