"""The daemon's bond to a real keeper."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from atoll_supervisor.loop.fleet_loop import FleetLoop, Machine
from atoll_supervisor.loop.keeping import Keeping
from atoll_supervisor.loop.runtime import Runtime
from atoll_supervisor.shell.journal import Journal
from atoll_supervisor.shell.keepers import Reached, reach, reap
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio


async def test_a_keeper_that_is_stopped_is_killed(tmp_path: Path) -> None:
    """SIGKILL reaches a process that SIGSTOP holds (signal(7)); what it runs dies with it."""
    found = await reach(tmp_path / "run" / "keeper.sock", tmp_path / "log", dict(os.environ))
    keeping = bond(tmp_path, found)
    os.kill(found.pid, signal.SIGSTOP)
    keeping.kill()
    await until(lambda: reap(found.pid))
    keeping.kill()  # it is gone: nobody else is hit
    keeping.close()


def bond(folder: Path, found: Reached) -> Keeping:
    def ignore(*_: object) -> None:
        return

    async def never() -> Reached:
        await asyncio.Event().wait()
        raise AssertionError

    machine = Machine(time.monotonic, time.time, lambda: 0.0, ignore, ignore)
    fleet = FleetLoop(machine, "127.0.0.1", 8099, 8100, folder, Journal(folder / "fleet.toml"))
    fleet.adopt(found.link, found.states)
    keeping = Keeping(fleet, Runtime(fleet.hands, folder / "template.log", {}), never, ignore)
    keeping.begin(found)
    return keeping
