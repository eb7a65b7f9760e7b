"""The machine's timers on the event loop's clock."""

import asyncio
from collections.abc import Callable

from atoll_supervisor.core.effects import Arm, Timer
from atoll_supervisor.core.events import Elapsed, elapsed

Post = Callable[[str, Elapsed], None]


class Timers:
    """One timer per unit and name; an elapsed one becomes the event of its name."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._armed: dict[tuple[str, Timer], asyncio.TimerHandle] = {}

    def arm(self, slug: str, arm: Arm) -> None:
        """Start the timer, in place of the unit's earlier one of that name."""
        self.disarm(slug, arm.timer)
        handle = asyncio.get_running_loop().call_at(arm.at, self._elapse, slug, arm)
        self._armed[slug, arm.timer] = handle

    def disarm(self, slug: str, timer: Timer) -> None:
        """Stop the timer, if it is running."""
        if handle := self._armed.pop((slug, timer), None):
            handle.cancel()

    def _elapse(self, slug: str, arm: Arm) -> None:
        self._armed.pop((slug, arm.timer), None)
        self._post(slug, elapsed(arm.timer, arm.generation))
