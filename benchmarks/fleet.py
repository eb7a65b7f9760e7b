"""A fleet of its own for one benchmark, its agents with the rule-based back end."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import uvloop
from benchmarks.supervision import client, units
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.contenders.base import Unhealthy
from benchmarks.supervision.processes import become_subreaper, end_below
from benchmarks.supervision.signals import cancelled_by_signals
from benchmarks.supervision.units import ports_of

T = TypeVar("T")

EXAMPLES = Path(__file__).resolve().parent.parent / "atoll_agents"
LIMIT = 60.0
"""Seconds that the example fleet gets to come up."""


class Wrong(Exception):
    """A server answered something else than a 200."""


class Ports(NamedTuple):
    """Of the first agent, `agent0`, and of the daemon."""

    agent: int
    api: int


def measured(
    prefix: str, measure: Callable[[Path], Coroutine[None, None, T]], *faults: type[Exception]
) -> T:
    """What `measure` finds in a folder of its own; nothing that was started is left.

    Raises SystemExit: 130 when it is interrupted, 1 with the reason told for a fleet that
    does not work and for `faults`.
    """
    told: tuple[type[Exception], ...] = (Wrong, Unhealthy, OSError, *faults)
    become_subreaper()
    try:
        with TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
            return uvloop.run(cancelled_by_signals(measure(Path(folder))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise SystemExit(130) from None
    except told as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        end_below(os.getpid())


@asynccontextmanager
async def started(folder: Path, agents: int) -> AsyncGenerator[Ports]:
    """So many healthy agents, `agent0` and so on; raises Wrong when they do not come up."""
    ports = units.ports()
    listed = [units.make(folder / "f" / "agents", f"agent{n}", next(ports)) for n in range(agents)]
    fleet = Atoll(folder / "f", listed, next(ports), next(ports))
    try:
        await fleet.start()
        if not await client.until_all_healthy(ports_of(fleet.units)):
            raise Wrong("the fleet did not come up")
        yield Ports(listed[0].port, fleet.api_port)
    finally:
        await asyncio.shield(fleet.shut_down())


@asynccontextmanager
async def examples(folder: Path) -> AsyncGenerator[int]:
    """The example fleet of this repository; the daemon's port. Raises Wrong as `started`."""
    place = folder / "e"
    shutil.copytree(EXAMPLES, place / "agents", ignore=shutil.ignore_patterns("__pycache__"))
    fleet = Atoll(place, (), next(units.ports()), units.block(10))
    try:
        await fleet.start()
        await _all_running(fleet)
        yield fleet.api_port
    finally:
        await asyncio.shield(fleet.shut_down())


async def _all_running(fleet: Atoll) -> None:
    try:
        async with asyncio.timeout(LIMIT):
            while {row.phase for row in await fleet.rows()} != {"running"}:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Wrong("the example fleet did not come up") from None
