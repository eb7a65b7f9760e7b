"""Performs effects through the keeper; what the keeper tells of them comes back as events."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

from msgspec import Struct

from atoll_supervisor.core import effects as do
from atoll_supervisor.core import events as ev
from atoll_supervisor.keeper.protocol import (
    Command,
    Forget,
    Held,
    How,
    Process,
    Remembered,
    Signal,
    State,
    Synced,
    Template,
    Welcome,
)
from atoll_supervisor.loop.holding import Holding, sockets_of
from atoll_supervisor.loop.news import news, taken_over, used
from atoll_supervisor.loop.port_table import PortTable
from atoll_supervisor.loop.probing import Probing
from atoll_supervisor.loop.processes import Processes
from atoll_supervisor.loop.timers import Timers
from atoll_supervisor.shell.blueprint import Blueprint
from atoll_supervisor.shell.keeper_link import KeeperLink
from atoll_supervisor.shell.stats import Sampler

KEEPER_LOST = "the keeper was lost"

News = tuple[str, ev.Event]


class Ears(Struct, frozen=True):
    """Whom the hands tell what; a note's unit comes second."""

    post: Callable[[Iterable[News]], None]
    record: Callable[[str, do.Record], object]
    note: Callable[[str, str], object]


class Hands:
    """Everything the loop touches: processes and sockets (by the keeper), probes, timers."""

    def __init__(self, host: str, ports: PortTable, logs: Path, ears: Ears) -> None:
        self.blueprints: dict[str, Blueprint] = {}
        self.ports = ports
        self.sampler = Sampler()
        self.template = Template("none")
        self.template_told = asyncio.Event()
        self._host = host
        self._logs = logs
        self._ears = ears
        self._link: KeeperLink | None = None
        self._holding = Holding(host, ports, self.send, self._launchable, self._wakes, self._moved)
        self._probing = Probing(self._post)
        self._timers = Timers(self._post, self._catch_up)
        self._processes = Processes()
        self._learned = False
        self._unsent: list[tuple[str, int]] = []
        self._ended: list[Forget] = []

    # The keeper

    def link_to(self, link: KeeperLink) -> None:
        """Work through this link from now on; its keeper holds nothing yet."""
        self._link = link
        self._holding.reset()

    def adopt(self, link: KeeperLink, states: Sequence[State]) -> tuple[str, ...]:
        """Take over what an earlier daemon left with the keeper; the same states are to be `told`.

        Says which units listen on another address than they should.
        """
        self._link = link
        for state in states:
            if isinstance(state, Process):
                self._processes.take_over(taken_over(state))
                self._sample(state.unit)
        held = [state for state in sockets_of(states) if state.held]
        self.ports.keep({state.unit: state.port for state in held})
        return tuple(state.unit for state in held if not self._holding.adopt(state))

    def learn(self, blueprints: Mapping[str, Blueprint]) -> tuple[News, ...]:
        """Work by these from now on; says how units that may sleep now have been used."""
        sleepless = [slug for slug in blueprints if not self._sleeps(slug)]
        self._learned = True
        self.blueprints.update(blueprints)
        self.ports.wish({slug: b.spec.fixed_port for slug, b in blueprints.items() if b.needs_port})
        for slug in blueprints:
            self._await_answers(slug)
        return tuple(
            (slug, used(state))
            for slug in sleepless
            if self._sleeps(slug)
            for state in self._processes.of(slug)
        )

    def resume(self, units: Collection[str]) -> None:
        """Send the launches that waited for a keeper or a manifest; close what is nobody's."""
        self._holding.sweep(units)
        unsent, self._unsent = self._unsent, []
        for slug, generation in unsent:
            self._spawn(slug, generation)

    def told(self, states: Sequence[State]) -> None:
        """Make events of what the keeper told together."""
        events: list[News] = []
        for state in states:
            match state:
                case Process():
                    events += ((state.unit, event) for event in self._changed(state))
                case Held():
                    self._holding.told(state)
                case Template():
                    self.template = state
                    self.template_told.set()
                case Welcome() | Remembered() | Synced():
                    pass
                case _:
                    assert_never(state)
        self._ears.post(events)

    @property
    def pids(self) -> tuple[int, ...]:
        """Every living process of the fleet."""
        return tuple(state.pid for state in self._processes if state.pid)

    def lost(self) -> None:
        """The link has ended: until there is another, what is to be launched waits."""
        self._link = None
        self._probing.close()

    def go_on(self, link: KeeperLink, states: Sequence[State]) -> None:
        """The same keeper over another link; what was sent into the old one may be lost.

        A process whose end was told although it lives, because the keeper did not
        answer in time, is killed: another may have its place already.
        """
        self._link = link
        for state in states:
            if isinstance(state, Process) and self._processes.is_stray(state):
                self._signal(state.unit, state.generation, "kill")
        there = {(state.unit, state.generation) for state in states if isinstance(state, Process)}
        lost = self._processes.without(there)  # before `told` launches others
        self.told(states)
        self._end(lambda state: (state.unit, state.generation) in lost, "its launch was lost")
        self._holding.again()
        self._holding.disown(sockets_of(states))

    def bury(self) -> None:
        """Tell the ends of all that died with a keeper."""
        self.template = Template("none")
        self._end(lambda _: True, KEEPER_LOST)

    def give_up(self, why: str) -> None:
        """Answer every launch that has not been sent: it will not be."""
        self._learned = True
        unsent, self._unsent = self._unsent, []
        self._ears.post((slug, ev.SpawnFailed(generation, why)) for slug, generation in unsent)
        self._holding.give_up(why)

    def _end(self, which: Callable[[Process], bool], reason: str) -> None:
        gone = partial(Process._replace, stage="gone", signal="SIGKILL", reason=reason)
        self.told([gone(state) for state in self._processes if which(state)])

    def acknowledge(self) -> None:
        """Tell the keeper that every end it has told was taken in, and what follows remembered."""
        while self._ended:
            self.send(self._ended.pop())

    def send(self, command: Command) -> None:
        """Send a command; without a keeper there is nothing that it could be for."""
        if self._link is not None:
            self._link.send(command)

    # The machine

    def perform(self, slug: str, effect: do.Effect) -> None:
        """Do what the machine asked for; raises nothing but faults of this program."""
        match effect:
            case do.Spawn(generation):
                self._spawn(slug, generation)
            case do.Terminate(generation):
                self._probing.end((slug, generation))
                self._signal(slug, generation, "term")
            case do.Kill(generation):
                self._signal(slug, generation, "kill")
            case do.Probe(generation):
                self._probe(slug, generation)
            case do.HoldSocket():
                blueprint = self.blueprints.get(slug)
                if self.ports.is_wished(slug) and not (blueprint and blueprint.order):
                    self._holding.hold(slug)
            case do.ReleaseSocket():
                self._holding.release(slug)
            case do.WatchSocket():
                self._holding.watch(slug)
            case do.Arm():
                self._timers.arm(slug, effect)
            case do.Disarm(timer):
                self._timers.disarm(slug, timer)
            case do.Record():
                self._ears.record(slug, effect)
            case do.Forget():
                self.ports.forget(slug)
                self.blueprints.pop(slug, None)
            case _:
                assert_never(effect)

    def log_of(self, slug: str) -> Path:
        """The live log file of a unit."""
        return self._logs / f"{slug}.log"

    def process(self, slug: str, generation: int | None) -> Process | None:
        """The last that the keeper told of a process."""
        return self._processes.get(slug, generation)

    def port_of(self, slug: str, generation: int) -> int | None:
        """The port that this process listens on, else the one that the next will have."""
        state = self.process(slug, generation)
        return (state.port if state else 0) or self.ports.port_of(slug)

    def is_forked(self, slug: str) -> bool:
        """Whether the unit's processes are made from the template."""
        return (known := self.blueprints.get(slug)) is not None and known.via == "fork"

    def kill(self, slug: str) -> None:
        """End every process of the unit at once."""
        for state in self._processes.of(slug):
            self._signal(slug, state.generation, "kill")

    def close(self) -> None:
        """Let go of everything but the keeper and what it has."""
        self._probing.close()
        self._timers.close()
        self.sampler.close()

    # inside

    def _post(self, slug: str, event: ev.Event) -> None:
        self._ears.post([(slug, event)])

    def _catch_up(self) -> None:
        """Hear what the keeper has told meanwhile, before something is decided by the clock."""
        if self._link is not None:
            self._link.read()

    def _spawn(self, slug: str, generation: int) -> None:
        blueprint = self.blueprints.get(slug)
        if self._link is None or not (blueprint or self._learned):
            self._unsent.append((slug, generation))
        elif blueprint is None:  # a unit that was taken over, with a manifest that is broken
            self._launchable(slug, generation, "there is no good manifest to start it by")
        elif blueprint.is_given_socket:
            self._holding.launch(slug, generation)
        else:
            self._launchable(slug, generation, "")

    def _launchable(self, slug: str, generation: int, fault: str) -> None:
        """Send the launch, now that its socket is held; or tell why it is not."""
        try:
            if not fault:
                self._launch(slug, generation)
        except OSError as error:
            fault = error.strerror or str(error)
        if fault:
            self._post(slug, ev.SpawnFailed(generation, fault))

    def _launch(self, slug: str, generation: int) -> None:
        if self._link is None:
            self._unsent.append((slug, generation))
            return
        blueprint = self.blueprints[slug]
        port = self.ports.at_launch(slug, blueprint.ours.get("host", ""))
        instance = secrets.token_hex(16)
        self._link.send(blueprint.launch(generation, instance, self.log_of(slug), port))
        self._processes.launched(slug, generation)

    def _signal(self, slug: str, generation: int, how: How) -> None:
        self.send(Signal(slug, generation, how))

    def _probe(self, slug: str, generation: int) -> None:
        state, blueprint = self.process(slug, generation), self.blueprints.get(slug)
        if state is not None and blueprint is not None:
            port = self.port_of(slug, generation)
            self._probing.start(state, partial(blueprint.prober, self._host, port))

    def _await_answers(self, slug: str) -> None:
        states, port = self._processes.of(slug), self.ports.port_of(slug)
        self._probing.await_answers(self.blueprints.get(slug), states, port)

    def _changed(self, state: Process) -> Iterable[ev.Event]:
        slug = state.unit
        was = self._processes.told(state)
        if state.stage == "gone":
            self._probing.end((slug, state.generation))
            self._ended.append(Forget(slug, state.generation))
        if (was.stage, was.pid) != (state.stage, state.pid):
            self._sample(slug)
            self._await_answers(slug)
        return tuple(news(was, state, use=self._sleeps(slug)))

    def _sleeps(self, slug: str) -> bool:
        known = self.blueprints.get(slug)
        return known is not None and known.spec.policy.idle_timeout > 0

    def _sample(self, slug: str) -> None:
        pid = self._processes.watched(slug)
        if pid is None:
            self.sampler.forget(slug)
        else:
            self.sampler.watch(slug, pid)

    def _wakes(self, slug: str) -> None:
        self._post(slug, ev.ClientWaits())

    def _moved(self, slug: str, why: str) -> None:
        self._ears.note(why, slug)
