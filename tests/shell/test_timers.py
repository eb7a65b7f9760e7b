"""Timers on the loop's clock, and what a late one does."""

import asyncio

import pytest

from atoll_supervisor.core.effects import Arm
from atoll_supervisor.core.events import BackoffElapsed, Elapsed, StartTimeElapsed
from atoll_supervisor.loop.timers import LATE, PATIENCE, Timers

pytestmark = pytest.mark.anyio


class Clock:
    """Timers, and what they said in which order."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.disarms = False
        self.timers = Timers(self.post, self.catch_up)
        self.loop = asyncio.get_running_loop()

    def post(self, slug: str, event: Elapsed) -> None:
        self.said.append((slug, event))

    def catch_up(self) -> None:
        self.said.append("heard")
        if self.disarms:
            self.timers.disarm("a", "start")


async def test_one_that_elapses_is_its_event_and_a_newer_one_takes_its_place() -> None:
    clock = Clock()
    clock.timers.arm("a", Arm("start", clock.loop.time(), 1))
    clock.timers.arm("a", Arm("start", clock.loop.time() + 0.01, 2))
    clock.timers.arm("b", Arm("backoff", clock.loop.time(), 3))
    clock.timers.arm("b", Arm("start", clock.loop.time(), 3))
    clock.timers.disarm("b", "start")
    await asyncio.sleep(0.1)
    assert clock.said == [("b", BackoffElapsed(3)), ("a", StartTimeElapsed(2))]


async def test_a_late_one_hears_first_what_happened_and_waits_a_moment_once() -> None:
    clock = Clock()
    late = clock.loop.time() - 2 * LATE
    clock.timers.arm("a", Arm("start", late, 1))
    await asyncio.sleep(0.1)
    assert clock.said == ["heard"]
    await asyncio.sleep(PATIENCE)
    assert clock.said == ["heard", ("a", StartTimeElapsed(1))]


async def test_a_late_one_that_is_disarmed_by_what_was_heard_says_nothing() -> None:
    clock = Clock()
    clock.disarms = True
    clock.timers.arm("a", Arm("start", clock.loop.time() - 2 * LATE, 1))
    await asyncio.sleep(PATIENCE + 0.2)
    assert clock.said == ["heard"]
