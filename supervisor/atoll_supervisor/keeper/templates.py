"""Which template forks, and what happens while there is none.

A new one starts beside the old one and takes its place as soon as it is ready.
One that is lost is started again, at once if it had served for a while and
after growing pauses if not. A launch waits for a template that is starting, but
not for long; where there is none, or it fails, the launch goes by exec.
"""

import time
from collections.abc import Callable

from atoll_supervisor.keeper import protocol
from atoll_supervisor.keeper.asking import Job
from atoll_supervisor.keeper.eventloop import Loop, Timer
from atoll_supervisor.keeper.packets import MAX_REASON
from atoll_supervisor.keeper.template import Template

WAIT = 2.0
"""Seconds that a launch waits for a template that is starting."""
STEADY = 60.0
"""Seconds after which a template that dies was a good one."""
MAX_PAUSE = 60.0

Make = Callable[[protocol.Preload, "Templates"], Template]
"""Start a template; raises OSError."""


class Templates:
    """At most one template that forks, and at most one that is starting."""

    def __init__(self, loop: Loop, make: Make, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._make = make
        self._changed = changed
        self._order: protocol.Preload | None = None
        self._current: Template | None = None
        self._next: Template | None = None
        self._waiting: dict[Job, Timer] = {}
        self._retry: Timer | None = None
        self._lost = 0
        self._since = 0.0
        self._reason = ""

    @property
    def state(self) -> protocol.Template:
        """How the template that was asked for last fares; an older one may fork meanwhile."""
        order, current = self._order, self._current
        if order is None:
            return protocol.Template("none", reason="no template was asked for")
        if self._next is not None:
            return _state("starting", order, self._next.pid, self._reason)
        if current is not None and current.order is order:
            return _state("ready", order, current.pid, "")
        return _state("failed", order, 0, self._reason)

    def preload(self, order: protocol.Preload) -> None:
        """Start this one; it takes the place of the one there is as soon as it is ready."""
        self._order, self._lost, self._reason = order, 0, ""
        if self._next is not None:
            self._next.dismiss()
            self._next = None
        self._start()

    def fork(self, job: Job) -> None:
        """Have a launch forked, or refuse it."""
        if self._current is not None:
            self._current.submit(job)
        elif self._next is not None:
            self._waiting[job] = self._loop.call_later(WAIT, lambda: self._tire(job))
        else:
            job.refused(self._reason)

    def close(self) -> None:
        """Have no template any more."""
        self._order = None
        self._cancel_retry()
        for template in (self._current, self._next):
            if template is not None:
                template.dismiss()
        self._current = self._next = None
        self._refuse_waiting("the keeper is leaving")

    def template_ready(self, template: Template) -> None:
        """The one that was starting takes over."""
        if template is not self._next:
            return
        if self._current is not None:
            self._current.dismiss()
        self._current, self._next = template, None
        self._since, self._reason = time.monotonic(), ""
        for job in self._stop_waiting():
            template.submit(job)
        self._changed()

    def template_lost(self, template: Template, reason: str) -> None:
        """Do without, and start it again in a while."""
        if template is self._current:
            self._current = None
            if time.monotonic() - self._since > STEADY:
                self._lost = 0
        if template is self._next:
            self._next = None
        self._failed(reason)

    def _start(self) -> None:
        self._cancel_retry()
        if self._order is None:
            return
        try:
            self._next = self._make(self._order, self)
        except OSError as error:
            self._failed(f"cannot start the template: {error.strerror}")
        self._changed()

    def _failed(self, reason: str) -> None:
        self._reason = reason
        if self._next is None:
            self._refuse_waiting(reason)
            pause = min(MAX_PAUSE, 2.0 ** (self._lost - 1)) if self._lost else 0.0
            self._lost += 1
            self._cancel_retry()
            self._retry = self._loop.call_later(pause, self._start)
        self._changed()

    def _tire(self, job: Job) -> None:
        if self._waiting.pop(job, None):
            job.refused(f"the template was not ready after {WAIT:g} s")

    def _refuse_waiting(self, reason: str) -> None:
        for job in self._stop_waiting():
            job.refused(reason)

    def _stop_waiting(self) -> list[Job]:
        jobs = list(self._waiting)
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        return jobs

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = None


def _state(
    stage: protocol.TemplateStage, order: protocol.Preload, pid: int, reason: str
) -> protocol.Template:
    return protocol.Template(stage, order.serial, order.key, pid, reason[:MAX_REASON])
