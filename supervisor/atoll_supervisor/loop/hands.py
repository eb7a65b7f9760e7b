"""Performs effects on the real machine; what comes of them comes back as events."""

import asyncio
import errno
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from atoll.adapters.listening import port_holder
from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.core.view import Seen
from atoll_supervisor.loop.port_table import PortTable
from atoll_supervisor.loop.timers import Timers
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.output import Pump
from atoll_supervisor.shell.probe import Prober
from atoll_supervisor.shell.sockets import Sockets
from atoll_supervisor.shell.spawn import Child, Exited, Launcher, Notice, Ready
from atoll_supervisor.shell.stats import Sampler

_ITS_OWN_DOING = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
"""Signals that a process brings upon itself, so that its last words explain them."""

Post = Callable[[str, ev.Event], None]
Recorded = Callable[[str, do.Record], None]


class Hands:
    """Everything the loop touches: processes, sockets, output, probes, timers."""

    def __init__(
        self, host: str, ports: PortTable, logs: Path, post: Post, recorded: Recorded
    ) -> None:
        self.blueprints: dict[str, Blueprint] = {}
        self.ports = ports
        self.sampler = Sampler()
        self._host = host
        self._logs = logs
        self._post = post
        self._recorded = recorded
        self._launcher = Launcher()
        self._sockets = Sockets()
        self._timers = Timers(post)
        self._children: dict[str, Child] = {}
        self._pumps: dict[str, Pump] = {}
        self._faults: dict[str, str] = {}
        self._probers: dict[str, Prober] = {}
        self._probes: set[asyncio.Task[None]] = set()

    def perform(self, slug: str, effect: do.Effect) -> None:
        """Do what the machine asked for; never raises."""
        match effect:
            case do.Spawn(generation):
                self._spawn(slug, generation)
            case do.Terminate(generation):
                self._end_prober(slug)  # its kept connection would make the drain wait
                if child := self._child(slug, generation):
                    child.terminate()
            case do.Kill(generation):
                if child := self._child(slug, generation):
                    child.kill_tree()
            case do.Probe(generation):
                self._start_probe(slug, generation)
            case do.HoldSocket():
                self._hold(slug)
            case do.ReleaseSocket():
                self._sockets.release(slug)
            case do.Arm():
                self._timers.arm(slug, effect)
            case do.Disarm(timer):
                self._timers.disarm(slug, timer)
            case do.Record():
                self._recorded(slug, effect)
            case do.Forget():
                self._forget(slug)
            case _:
                assert_never(effect)

    def log_of(self, slug: str) -> Path:
        """The live log file of a unit."""
        return self._logs / f"{slug}.log"

    def seen(self, slug: str) -> Seen:
        """What is known of the unit's process without asking it."""
        child = self._children.get(slug)
        usage = self.sampler.snapshot.get(slug)
        return Seen(
            instance_id=child.instance if child else None,
            cpu_percent=usage.cpu_percent if usage else None,
            rss_bytes=usage.rss_bytes if usage else None,
        )

    def tidy(self) -> None:
        """End and bury what ended units left behind; to be called now and then."""
        self._launcher.kill_unowned()
        self._launcher.reap_orphans()

    def close(self) -> None:
        """At the very end: nothing of the fleet is left on the machine."""
        self._launcher.kill_strays()
        self._sockets.close()
        self.sampler.close()
        for pump in self._pumps.values():
            pump.close()

    def _child(self, slug: str, generation: int) -> Child | None:
        child = self._children.get(slug)
        return child if child and child.spec.generation == generation else None

    def _spawn(self, slug: str, generation: int) -> None:
        if fault := self._faults.get(slug, ""):
            self._post(slug, ev.SpawnFailed(generation, fault))
            return
        blueprint = self.blueprints[slug]
        port = self.ports.port_of(slug)
        spec = blueprint.launch_spec(generation, secrets.token_hex(16), port)
        try:
            child = self._launcher.launch(
                spec, self._sockets.get(slug), self._pump(slug), self._notice
            )
        except OSError as error:
            reason = f"cannot start {spec.argv[0]}: {error.strerror}"
            self._post(slug, ev.SpawnFailed(generation, reason))
            return
        self._children[slug] = child
        self._new_prober(child, blueprint)
        self.sampler.watch(slug, child.pid)
        self._post(slug, ev.Spawned(generation, child.pid))

    def _notice(self, notice: Notice) -> None:
        match notice:
            case Ready(unit, generation):
                self._post(unit, ev.BecameReady(generation))
            case Exited(unit, generation, code, signal):
                if self._child(unit, generation):
                    del self._children[unit]
                    self._end_prober(unit)
                    self.sampler.forget(unit)
                reason = self._last_words(unit) if code or signal in _ITS_OWN_DOING else ""
                self._post(unit, ev.Exited(generation, code, signal, reason))
            case _:
                assert_never(notice)

    def _last_words(self, slug: str) -> str:
        """The last line on standard error, which for a Python traceback is the exception."""
        said = self._pump(slug).last_errors
        return said[-1] if said else ""

    def _pump(self, slug: str) -> Pump:
        if slug not in self._pumps:
            self._pumps[slug] = Pump(self.log_of(slug))
        return self._pumps[slug]

    def _hold(self, slug: str) -> None:
        """Bind the unit's port; an automatic one that a stranger holds moves on."""
        self._faults.pop(slug, None)
        if not self.blueprints[slug].needs_port:
            return
        while (port := self.ports.port_of(slug)) is not None:
            try:
                self._sockets.hold(slug, self._host, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or self.ports.is_fixed(slug):
                    self._faults[slug] = _port_fault(port, error)
                    return
                self._moved(slug, port)
            else:
                return
        self._faults[slug] = self.ports.problem_of(slug)

    def _moved(self, slug: str, port: int) -> None:
        holder = port_holder(port)
        self.ports.give_up(port)
        cause = f"port {port} is in use{f' by {holder}' if holder else ''}; took the next free one"
        self._recorded(slug, do.Record("starting", "starting", cause, 0))

    def _start_probe(self, slug: str, generation: int) -> None:
        if self._child(slug, generation) and (prober := self._probers.get(slug)):
            task = asyncio.get_running_loop().create_task(self._probe(slug, generation, prober))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def _probe(self, slug: str, generation: int, prober: Prober) -> None:
        found = await prober.probe()
        passed, failed = ev.ProbePassed(generation), ev.ProbeFailed(generation, found.reason)
        self._post(slug, passed if found.ok else failed)

    def _new_prober(self, child: Child, blueprint: Blueprint) -> None:
        """A new process is asked over a new connection, and must be the one that answers."""
        slug = child.spec.unit
        self._end_prober(slug)
        address = blueprint.address(self._host, self.ports.port_of(slug))
        instance = child.instance if blueprint.needs_port else ""
        self._probers[slug] = Prober(address, instance)

    def _end_prober(self, slug: str) -> None:
        if prober := self._probers.pop(slug, None):
            prober.close()

    def _forget(self, slug: str) -> None:
        self.ports.forget(slug)
        self.blueprints.pop(slug, None)
        if pump := self._pumps.pop(slug, None):
            pump.close()


def _port_fault(port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"cannot listen on port {port}: {error.strerror}"
    holder = port_holder(port)
    return f"port {port} is in use{f' by {holder}' if holder else ''}"
