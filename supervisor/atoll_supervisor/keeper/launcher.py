"""How a launch becomes a process: through the template, or by fork and exec."""

import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from atoll_supervisor.keeper.asking import Request
from atoll_supervisor.keeper.child import Child
from atoll_supervisor.keeper.eventloop import Complain
from atoll_supervisor.keeper.mark import new_mark
from atoll_supervisor.keeper.sockets import port_of
from atoll_supervisor.keeper.start import (
    CHANNEL_FD,
    LISTEN_FD,
    Program,
    launch_environment,
    start,
)
from atoll_supervisor.keeper.templates import Templates
from atoll_supervisor.keeper.tree import Pinned
from atoll_supervisor.keeper.wiring import Wiring

SocketOf = Callable[[str], socket.socket | None]


class Launcher(NamedTuple):
    """What every launch needs: the family of its marks and the descriptors it may have."""

    family: int
    descriptors: int
    templates: Templates
    socket_of: SocketOf
    complain: Complain

    def launch(self, child: Child) -> None:
        """Start it one way or another; what becomes of it is seen in its state."""
        if child.order.via == "fork":
            self.templates.fork(_Fork(self, child))
        else:
            self.execute(child)

    def execute(self, child: Child) -> None:
        """Start it by fork and exec, unless it is not wanted any more."""
        if not self.wanted(child):
            return
        wiring: Wiring | None = None
        try:
            wiring = self.wire()
            child.at_gate(start(self._program(child, wiring)), wiring)
        except OSError as error:
            if wiring is not None:
                wiring.close()
            child.fail(f"cannot start {child.order.unit}: {error.strerror}")

    def wanted(self, child: Child) -> bool:
        """False for a child that was to be killed before it was there, which has failed by that."""
        if child.state.asked == "kill":
            child.fail("ended before it was started")
        return not child.gone

    def wire(self) -> Wiring:
        """Pipes, channel and mark of one try."""
        return Wiring(new_mark(self.family))

    def listening(self, child: Child) -> list[int]:
        """The descriptor of the unit's socket, if it is to have it; raises OSError without one."""
        if not child.order.listen:
            return []
        sock = self.socket_of(child.order.unit)
        if sock is None:
            raise OSError(9, "no socket is held for it")
        child.listens(port_of(sock))
        return [sock.fileno()]

    def _program(self, child: Child, wiring: Wiring) -> Program:
        order = child.order
        listening = dict(zip([LISTEN_FD], self.listening(child), strict=False))
        env = launch_environment(order, child.state.instance)
        return Program(
            order.argv,
            env,
            order.cwd,
            wiring.targets(CHANNEL_FD) | listening,
            wiring.mark,
            self.descriptors,
        )


class _Fork:
    """One launch on its way through the template."""

    def __init__(self, launcher: Launcher, child: Child) -> None:
        self._launcher = launcher
        self._child = child
        self._wiring: Wiring | None = None

    def ask(self) -> Request | None:
        """Its descriptors are made now, when they are needed."""
        order = self._child.order
        if not self._launcher.wanted(self._child):
            return None
        try:
            listening = self._launcher.listening(self._child)
            wiring = self._wiring = self._launcher.wire()
        except OSError as error:
            self._child.fail(f"cannot start {order.unit}: {error.strerror}")
            return None
        body: dict[str, object] = {
            "argv": order.argv[1:],
            "env": launch_environment(order, self._child.state.instance),
            "cwd": order.cwd,
            "mark": wiring.mark,
            "name": order.unit,
            "keeper": os.getpid(),
        }
        return Request(body, wiring.mark, [*wiring.passed, *listening])

    def forked(self, pinned: Pinned) -> None:
        """The template did it."""
        if self._wiring is not None:
            self._child.forked(pinned, self._wiring)

    def refused(self, why: str) -> None:
        """The template did not; what it may have done nevertheless has another mark and goes."""
        self._launcher.complain(f"{self._child.order.unit} is started by exec: {why}")
        if self._wiring is not None:
            self._wiring.close()
        self._launcher.execute(self._child)
