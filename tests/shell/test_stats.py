"""Processor time and memory of real processes."""

import asyncio
import os
import subprocess
import sys

import pytest

from atoll_supervisor.shell.stats import Sampler
from tests.fakes.waiting import open_fds, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def sampler():
    made = Sampler()
    yield made
    made.close()


def running(code):
    return subprocess.Popen([sys.executable, "-S", "-c", code])


async def test_a_busy_process_shows_and_an_idle_one_does_not(sampler):
    """Percent of one core since the last sample, and resident bytes."""
    busy, idle = running("while True: pass"), running("import time; time.sleep(600)")
    sampler.watch("busy", busy.pid)
    sampler.watch("idle", idle.pid)
    sampler.sample()
    assert sampler.snapshot["busy"].cpu_percent == 0.0
    await asyncio.sleep(1.0)
    sampler.sample()
    busy.kill()
    idle.kill()
    assert sampler.snapshot["busy"].cpu_percent > 5
    assert sampler.snapshot["idle"].cpu_percent < 50
    assert sampler.snapshot["idle"].rss_bytes > 1_000_000
    busy.wait(10)
    idle.wait(10)


async def test_a_dead_process_leaves_the_snapshot(sampler):
    """A kept descriptor of a buried process gives nothing, and is no error."""
    process = running("pass")
    sampler.watch("x", process.pid)
    process.wait(10)
    sampler.sample()
    assert sampler.snapshot == {}
    sampler.watch("x", process.pid)
    sampler.sample()
    assert sampler.snapshot == {}


async def test_a_snapshot_does_not_change_in_the_hand(sampler):
    """Who holds one can read it at leisure."""
    sampler.watch("me", os.getpid())
    sampler.sample()
    held = sampler.snapshot
    sampler.forget("me")
    sampler.sample()
    assert list(held) == ["me"]
    assert sampler.snapshot == {}


async def test_it_runs_by_itself_and_leaks_nothing(sampler):
    """A task keeps the snapshot fresh; watching again replaces the descriptor."""
    before = open_fds()
    task = asyncio.ensure_future(sampler.run())
    for _ in range(50):
        sampler.watch("me", os.getpid())
    await until(lambda: "me" in sampler.snapshot)
    task.cancel()
    sampler.close()
    assert open_fds() <= before
