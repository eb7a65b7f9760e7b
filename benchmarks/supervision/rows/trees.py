"""Grandchildren of three kinds over three events: how many of nine are cleaned up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.supervision import client, processes
from benchmarks.supervision.bench import ATOLL, FLOORS, PEERS, Bench, Entry, running
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.processes import Identity, identity, kill
from benchmarks.supervision.rows.recovery import server_of
from benchmarks.supervision.units import NEST

KINDS = 3
CLEAN_LIMIT = 5.0
Event = Callable[[Contender], Awaitable[None]]


async def trees(bench: Bench) -> None:
    """Row 9 of supervision.md section 4."""
    for entry in bench.some(*PEERS, *FLOORS, *ATOLL, children=("agent",)):
        cleaned = 0
        for word, event in (("stop", _stop), ("crash", _crash), ("shutdown", _shut_down)):
            try:
                left = await _left_after(bench, entry, event)
            except Unhealthy as error:
                bench.note(str(error))
                break
            if left:
                print(f"    {entry.label}: left after {word}: {', '.join(left)}")
            cleaned += KINDS - len(left)
        else:
            bench.record("trees_cleaned_of_9", entry.label, cleaned)


async def _left_after(bench: Bench, entry: Entry, event: Event) -> list[str]:
    """The kinds of grandchildren that still live some seconds after the event."""
    pids = bench.file("nest")
    async with running(bench.build(entry, ["nest"], tools=NEST % {"pids": str(pids)})) as up:
        first = await _grandchildren(pids)
        await event(up)
        left = await _until_clean(first)
    for who in left.values():
        kill(who)
    return sorted(left)


async def _grandchildren(pids: Path) -> dict[str, Identity]:
    """The first three; raises Unhealthy when they never came."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        lines = [line.split() for line in pids.read_text().splitlines()] if pids.exists() else []
        found = {kind: identity(int(pid)) for kind, pid in lines[:KINDS]}
        known = {kind: who for kind, who in found.items() if who is not None}
        if len(known) == KINDS:
            return known
        await asyncio.sleep(0.02)
    raise Unhealthy("the agent started no grandchildren")


async def _until_clean(first: dict[str, Identity]) -> dict[str, Identity]:
    until = time.monotonic() + CLEAN_LIMIT
    while True:
        left = {kind: who for kind, who in first.items() if processes.is_alive(who)}
        if not left or time.monotonic() > until:
            return left
        await asyncio.sleep(0.02)


async def _stop(contender: Contender) -> None:
    await contender.stop("nest")


async def _crash(contender: Contender) -> None:
    unit = contender.units[0]
    who = await server_of(unit)
    kill(who)
    await client.until_healthy(unit.port, who.pid)


async def _shut_down(contender: Contender) -> None:
    await contender.shut_down()
