"""The keeper itself: does what it is told, and tells what is true."""

import os
import socket
import time
from pathlib import Path
from typing import NamedTuple, assert_never

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.beats import Beats
from atoll_supervisor.keeper.child import Around, Child
from atoll_supervisor.keeper.eventloop import Complain, Loop
from atoll_supervisor.keeper.launcher import Launcher
from atoll_supervisor.keeper.life import Lives
from atoll_supervisor.keeper.link import Link, Packet
from atoll_supervisor.keeper.mark import new_mark
from atoll_supervisor.keeper.packets import MAX_MEMO
from atoll_supervisor.keeper.pump import Pump
from atoll_supervisor.keeper.sockets import Sockets
from atoll_supervisor.keeper.template import Means, Template
from atoll_supervisor.keeper.templates import Templates

TIDY = 1.0
"""Seconds between two looks at what is left over."""
LONELY = 10.0
"""Seconds without daemon, process and socket after which the keeper goes."""
LAST_WAIT = 2.0
"""Seconds that the last processes have to be gone after their SIGKILL."""


class Given(NamedTuple):
    """What a keeper starts with: the family of its marks, the descriptors its units may have."""

    family: int
    descriptors: int


class Keeper:
    """Sockets, processes and the template, and the daemon that is told of them."""

    def __init__(self, listener: socket.socket, given: Given, complain: Complain) -> None:
        self._complain = complain
        self._since = time.monotonic()
        self._given = given
        self._loop = Loop(complain)
        self._link = Link(listener, self._loop, self._obey, complain)
        self._lives = Lives(self._loop)
        self._sockets = Sockets(self._loop, self._tell_socket)
        self._templates = Templates(self._loop, self._make_template, self._tell_template)
        self._launcher = Launcher(
            given.family, given.descriptors, self._templates, self._sockets.get, complain
        )
        self._around = Around(self._lives, Beats(self._loop), self._tell_child)
        self._children: dict[tuple[str, int], Child] = {}
        self._memos: dict[str, str] = {}
        self._pumps: dict[tuple[str, str], Pump] = {}
        self._leaving = False
        self._lonely_since = self._since

    def run(self) -> None:
        """Go on until told to leave, or until nobody needs us."""
        self._loop.call_later(TIDY, self._tidy)
        self._loop.run(self._link.flush)
        self._lives.kill_all()
        self._sockets.close()
        for pump in self._pumps.values():
            pump.close()
        self._link.close()
        self._loop.close()

    @property
    def loop(self) -> Loop:
        """For whoever hears signals."""
        return self._loop

    def leave(self) -> None:
        """End every unit, and go when they are gone."""
        if not self._leaving:
            self._leaving = True
            for child in self._living():
                child.signal("kill")
            self._templates.close()
            self._sockets.close()
            self._lives.kill_all()
            self._loop.call_later(LAST_WAIT, self._loop.stop)
            self._stop_if_alone()

    def _obey(self, command: p.Command) -> None:
        if self._leaving:
            return
        match command:
            case p.Hello():
                self._introduce()
            case p.Listen(unit, host, port):
                self._sockets.hold(unit, host, port)
            case p.Close(unit):
                self._sockets.release(unit)
            case p.Watch(unit):
                self._sockets.watch(unit)
            case p.Pass(unit):
                self._link.tell(("pass", unit), lambda: self._passed(unit))
            case p.Launch():
                self._launch(command)
            case p.Signal(unit, generation, how):
                if child := self._children.get((unit, generation)):
                    child.signal(how)
            case p.Forget(unit, generation):
                self._forget(unit, generation)
            case p.Remember(unit, memo):
                self._remember(unit, memo)
            case p.Preload():
                self._templates.preload(command)
            case p.Leave():
                self.leave()
            case _:
                assert_never(command)

    def _introduce(self) -> None:
        """Tell a daemon that has just come everything there is, in one go."""
        self._link.start_over()
        welcome = Packet(p.Welcome(p.VERSION, os.getpid(), self._since))
        self._link.tell(("welcome",), lambda: welcome)
        for unit in self._sockets.units:
            self._tell_socket(unit)
        for child in self._children.values():
            self._tell_child(child)
        for unit in self._memos:
            self._tell_memo(unit)
        self._tell_template()
        self._link.tell(("synced",), lambda: Packet(p.Synced()))

    def _launch(self, order: p.Launch) -> None:
        key = (order.unit, order.generation)
        if key in self._children:
            self._complain(f"{order.unit} {order.generation} is there already; launch ignored")
            return
        child = self._children[key] = Child(order, self._pump(order.unit, order.log), self._around)
        self._tell_child(child)
        if len(order.memo.encode(errors="replace")) > MAX_MEMO:
            child.fail(f"cannot start {order.unit}: its memo is longer than {MAX_MEMO} bytes")
            return
        if order.listen:
            self._sockets.served(order.unit)
        self._launcher.launch(child)

    def _forget(self, unit: str, generation: int) -> None:
        child = self._children.get((unit, generation))
        if child is None or not child.gone:
            return
        del self._children[unit, generation]
        if not any(child.order.unit == unit for child in self._children.values()):
            for key in [key for key in self._pumps if key[0] == unit]:
                self._pumps.pop(key).close()

    def _remember(self, unit: str, memo: str) -> None:
        if not memo:
            self._memos.pop(unit, None)
        elif len(memo.encode(errors="replace")) > MAX_MEMO:
            self._complain(f"the memo of {unit} is longer than {MAX_MEMO} bytes; kept the last")
        else:
            self._memos[unit] = memo

    def _pump(self, unit: str, log: str) -> Pump:
        key = (unit, log)
        if key not in self._pumps:
            self._pumps[key] = Pump(self._loop, Path(log))
        return self._pumps[key]

    def _make_template(self, order: p.Preload, watcher: Templates) -> Template:
        mark = new_mark(self._given.family)
        pump = self._pump("", order.log)
        return Template(order, Means(self._lives, pump, mark, self._given.descriptors), watcher)

    def _tell_child(self, child: Child) -> None:
        key = ("process", child.order.unit, str(child.order.generation))
        self._link.tell(key, lambda: Packet(child.state))
        if self._leaving:
            self._stop_if_alone()

    def _tell_socket(self, unit: str) -> None:
        self._link.tell(("held", unit), lambda: Packet(self._sockets.state(unit)))

    def _tell_memo(self, unit: str) -> None:
        self._link.tell(
            ("memo", unit), lambda: Packet(p.Remembered(unit, self._memos.get(unit, "")))
        )

    def _tell_template(self) -> None:
        self._link.tell(("template",), lambda: Packet(self._templates.state))

    def _passed(self, unit: str) -> Packet:
        sock = self._sockets.get(unit)
        return Packet(self._sockets.state(unit), -1 if sock is None else sock.fileno())

    def _tidy(self) -> None:
        self._loop.call_later(TIDY, self._tidy)
        self._lives.tidy()
        now = time.monotonic()
        if self._link.connected or not self._sockets.empty or self._living():
            self._lonely_since = now
        elif now - self._lonely_since > LONELY:
            self.leave()

    def _living(self) -> list[Child]:
        return [child for child in self._children.values() if not child.gone]

    def _stop_if_alone(self) -> None:
        if not self._living():
            self._loop.stop()
