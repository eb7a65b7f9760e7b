"""A process of a unit as the daemon knows it: from the `Launch` to the `Forget`."""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from atoll_supervisor.keeper.beats import Beats, Channel
from atoll_supervisor.keeper.cgroups import make_cage
from atoll_supervisor.keeper.channel import Said
from atoll_supervisor.keeper.life import Life, Lives, Status
from atoll_supervisor.keeper.packets import MAX_REASON
from atoll_supervisor.keeper.proc import INSTANCE
from atoll_supervisor.keeper.protocol import How, Launch, Process, Via
from atoll_supervisor.keeper.pump import Output, Pump
from atoll_supervisor.keeper.start import Gate, Started
from atoll_supervisor.keeper.tree import Pinned, Ties
from atoll_supervisor.keeper.wiring import Wiring

_ITS_OWN_DOING = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
"""Signals that a process brings upon itself, so that its last words explain them."""


class Around(NamedTuple):
    """What a child needs of the keeper."""

    lives: Lives
    beats: Beats
    changed: Callable[["Child"], None]


class Child:
    """One generation of a unit; `state` is what the daemon is told."""

    def __init__(self, order: Launch, pump: Pump, around: Around) -> None:
        self.order = order
        self._pump = pump
        self._around = around
        self._cage = make_cage(order.unit, order.generation, order.limits)
        self._life: Life | None = None
        self._output: Output | None = None
        self._channel: Channel | None = None
        self._gate: Gate | None = None
        self._fault = ""
        self._state = Process(
            order.unit,
            order.generation,
            via=order.via,
            since=time.monotonic(),
            limits=self._cage.enforced,
            instance=order.env.get(INSTANCE) or os.urandom(16).hex(),
            memo=order.memo,
        )

    @property
    def state(self) -> Process:
        """What is true now."""
        if self._channel is None or self.gone:
            return self._state
        silence = round(self._channel.silence, 1)
        return self._state._replace(channel=self._channel.beats, silent=silence)

    @property
    def gone(self) -> bool:
        """Whether it has ended, or could not be started."""
        return self._state.stage == "gone"

    def listens(self, port: int) -> None:
        """It is to be given the socket on this port."""
        self._state = self._state._replace(port=port)

    def at_gate(self, started: Started, wiring: Wiring) -> None:
        """It was forked by us: put it into its cage and let it become the program."""
        self._adopt(started.pinned, wiring)
        self._gate = started.gate
        self._around.lives.loop.watch(self._gate.fileno(), self._through_gate)
        self._gate.open()

    def forked(self, pinned: Pinned, wiring: Wiring) -> None:
        """It was forked by the template."""
        self._adopt(pinned, wiring)
        self._announce("fork")

    def fail(self, reason: str) -> None:
        """It could not be started."""
        self._around.lives.discard(self._cage)
        self._become(self._state._replace(stage="gone", pid=0, reason=reason[:MAX_REASON]))

    def signal(self, how: How) -> None:
        """Ask it to go or end it, as soon as it is there."""
        if self.gone:
            return
        strongest: How = "kill" if "kill" in (how, self._state.asked) else "term"
        self._become(self._state._replace(asked=strongest))
        if self._state.stage != "launching":
            self._deliver(how)

    def _deliver(self, how: How) -> None:
        if self._life is None:
            return
        if how == "kill":
            self._life.kill_tree()
        else:
            self._life.terminate()

    def _adopt(self, pinned: Pinned, wiring: Wiring) -> None:
        """Own the process and our ends of its wiring."""
        self._cage.add(pinned.pid)
        ties = Ties(pinned.pid, self._state.instance, wiring.mark)
        self._life = self._around.lives.begin(pinned, ties, self._cage, self._over)
        wiring.close_theirs()
        self._output = self._pump.attach(*wiring.outputs)
        self._channel = self._around.beats.open(wiring.channel, self._heard, self._tell)

    def _through_gate(self) -> None:
        """The gate closed: it became the program, or could not and is about to end."""
        self._close_gate()
        if not self._fault:
            self._announce("exec")

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._around.lives.loop.unwatch(self._gate.fileno())
            self._fault = self._gate.fault()
            self._gate.close()
        self._gate = None

    def _announce(self, via: Via) -> None:
        """It runs: tell its pid, and do what it was to be told meanwhile."""
        if self._life is None or self.gone:
            return
        self._become(
            self._state._replace(
                stage="starting",
                pid=self._life.pid,
                via=via,
                since=time.monotonic(),
                limits=dict(self._cage.enforced),
            )
        )
        if self._state.asked:
            self._deliver("kill" if self._state.asked == "kill" else "term")

    def _heard(self, said: Said) -> None:
        """It said something that it had not said before."""
        state = self._state
        if said.ready and state.stage in ("launching", "starting"):
            if state.stage == "launching":
                self._through_gate()  # whoever speaks is through
            state = self._state._replace(stage="serving")
        if said.beat:
            state = state._replace(
                channel=True, in_flight=said.in_flight, lag_ms=said.lag_ms, active=said.active
            )
        if said.status is not None:
            state = state._replace(status=said.status)
        if said.draining or said.stopping:
            state = state._replace(draining=True)
        if not self.gone:
            self._become(state)

    def _over(self, status: Status) -> None:
        """It and all it started are gone."""
        self._close_gate()
        if self._channel is not None:
            self._channel.close()
        if self._output is not None:
            self._output.finish()
        if self._fault:
            self.fail(self._fault)
            return
        pid = self._life.pid if self._life else 0
        code, signal = status
        reason = self._reason(status)[:MAX_REASON]
        self._become(
            self._state._replace(stage="gone", pid=pid, code=code, signal=signal, reason=reason)
        )

    def _reason(self, status: Status) -> str:
        """Its last line on standard error is the exception, for a Python traceback."""
        if status.signal == "SIGKILL" and self._cage.was_oom():
            return "oom-killed"
        said = self._output.last_errors if self._output else ()
        told = status.code or status.signal in _ITS_OWN_DOING
        return said[-1] if said and told else ""

    def _become(self, state: Process) -> None:
        if state != self._state:
            self._state = state
            self._tell()

    def _tell(self) -> None:
        self._around.changed(self)
