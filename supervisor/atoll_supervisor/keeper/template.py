"""One template (`python -m atoll.template`): it has the runtime imported and forks units.

Closing its control socket, descriptor 3, ends it.
"""

from typing import NamedTuple, Protocol

from atoll_supervisor.keeper.asking import Asking, Job
from atoll_supervisor.keeper.cgroups import make_cage
from atoll_supervisor.keeper.life import Life, Lives, Status
from atoll_supervisor.keeper.protocol import Preload
from atoll_supervisor.keeper.pump import Pump
from atoll_supervisor.keeper.start import Program, Started, start
from atoll_supervisor.keeper.tree import Ties
from atoll_supervisor.keeper.wiring import Wiring

CONTROL_FD = 3
READY_LIMIT = 30.0
"""Seconds in which it must have imported everything."""
LEAVE_LIMIT = 5.0
"""Seconds in which one that is no longer needed must have gone."""


class Watcher(Protocol):
    """Who is told how a template fares."""

    def template_ready(self, template: "Template") -> None:
        """It can fork."""
        ...

    def template_lost(self, template: "Template", reason: str) -> None:
        """It cannot, or no longer; told once, and not of one that was dismissed."""
        ...


class Means(NamedTuple):
    """What it takes to start one."""

    lives: Lives
    pump: Pump
    mark: int
    descriptors: int


class Template:
    """One template process; raises OSError when it cannot be started."""

    def __init__(self, order: Preload, means: Means, watcher: Watcher) -> None:
        self.order = order
        self.ready = False
        self._watcher = watcher
        self._lives = means.lives
        self._told = False
        wiring = Wiring(means.mark)
        try:
            started = start(_program(order, means, wiring))
        except OSError:
            wiring.close()
            raise
        wiring.close_theirs()
        self._output = means.pump.attach(*wiring.outputs)
        self._gate = started.gate
        self._life = self._begin(started, means.mark)
        self._asking = Asking(wiring.channel, means.lives, self)
        self._limit = means.lives.loop.call_later(READY_LIMIT, self._too_late)

    @property
    def pid(self) -> int:
        """The process's."""
        return self._life.pid

    def submit(self, job: Job) -> None:
        """Have it forked; `job` is told what came of it."""
        self._asking.submit(job)

    def dismiss(self) -> None:
        """No longer needed: it goes when what it was asked is answered."""
        self._told = True
        self._limit.cancel()
        self._lives.loop.call_later(LEAVE_LIMIT, self._life.kill_tree)
        if self._asking.idle:
            self.is_idle()

    def is_ready(self) -> None:
        """It said so."""
        self.ready = True
        self._limit.cancel()
        if not self._told:
            self._watcher.template_ready(self)

    def is_idle(self) -> None:
        """Nothing is left to be answered."""
        if self._told:
            self._asking.give_up("the template is no longer needed")

    def is_broken(self, reason: str) -> None:
        """It is of no use any more."""
        self._limit.cancel()
        if not self._told:
            self._told = True
            self._life.kill_tree()
            self._watcher.template_lost(self, reason)

    def _begin(self, started: Started, mark: int) -> Life:
        ties = Ties(started.pinned.pid, "", mark)
        cage = make_cage("template", self.order.serial, {})
        life = self._lives.begin(started.pinned, ties, cage, self._over)
        started.gate.open()
        return life

    def _too_late(self) -> None:
        self._asking.give_up(f"the template was not ready after {READY_LIMIT:g} s")

    def _over(self, status: Status) -> None:
        """The process is gone; its last words say more than its status."""
        fault = self._gate.fault()
        self._gate.close()
        self._output.finish()
        said = self._output.last_errors
        end = status.signal or f"exit code {status.code}"
        last = fault or (said[-1] if said and status.code else "")
        self._asking.ended(f"the template ended: {end}{': ' if last else ''}{last}")


def _program(order: Preload, means: Means, wiring: Wiring) -> Program:
    return Program(
        order.argv,
        order.env,
        order.cwd,
        wiring.targets(CONTROL_FD),
        means.mark,
        means.descriptors,
    )
