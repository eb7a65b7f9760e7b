"""The machine's timers on the event loop's clock."""

import asyncio
from collections.abc import Callable

from atoll_supervisor.core.effects import Arm, Timer
from atoll_supervisor.core.events import Elapsed, elapsed

LATE = 0.5
"""Seconds after which a timer that elapses tells that this process was stopped meanwhile."""
PATIENCE = 1.0
"""Seconds that a late timer waits, so that others who were stopped too can be heard first."""

Post = Callable[[str, Elapsed], None]


class Timers:
    """One timer per unit and name; an elapsed one becomes the event of its name.

    A daemon that was stopped (SIGSTOP, a suspended machine) must not judge by a
    clock that went on: a late timer first lets `catch_up` hear what happened
    meanwhile, and waits a moment once (faults.md rows 15 and 18).
    """

    def __init__(self, post: Post, catch_up: Callable[[], None]) -> None:
        self._post = post
        self._catch_up = catch_up
        self._armed: dict[tuple[str, Timer], asyncio.TimerHandle] = {}

    def arm(self, slug: str, arm: Arm) -> None:
        """Start the timer, in place of the unit's earlier one of that name."""
        self.disarm(slug, arm.timer)
        handle = asyncio.get_running_loop().call_at(arm.at, self._elapse, slug, arm, True)
        self._armed[slug, arm.timer] = handle

    def disarm(self, slug: str, timer: Timer) -> None:
        """Stop the timer, if it is running."""
        if handle := self._armed.pop((slug, timer), None):
            handle.cancel()

    def close(self) -> None:
        """Stop every timer."""
        for handle in self._armed.values():
            handle.cancel()
        self._armed.clear()

    def _elapse(self, slug: str, arm: Arm, may_wait: bool) -> None:
        now = asyncio.get_running_loop().time()
        if may_wait and now - arm.at > LATE:
            self._wait(slug, arm, now + PATIENCE)
        else:
            self._armed.pop((slug, arm.timer), None)
            self._post(slug, elapsed(arm.timer, arm.generation))

    def _wait(self, slug: str, arm: Arm, until: float) -> None:
        mine = self._armed.get((slug, arm.timer))
        self._catch_up()
        if self._armed.get((slug, arm.timer)) is mine:  # what was heard has left it as it was
            handle = asyncio.get_running_loop().call_at(until, self._elapse, slug, arm, False)
            self._armed[slug, arm.timer] = handle
