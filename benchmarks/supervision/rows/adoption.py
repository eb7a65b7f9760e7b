"""kill -9 of the supervisor, then its start: who finds its units again."""

import asyncio
import os
import time

from benchmarks.supervision import client, processes
from benchmarks.supervision.bench import ATOLL, PEERS, Bench, Entry, running
from benchmarks.supervision.client import Load
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.processes import Identity, identity
from benchmarks.supervision.units import ports_of
from benchmarks.supervision.watch import sharers

RATE = 200
LIMIT = 20.0
PEER_UNITS = 10
PEER_WAIT = 6.0
"""Seconds that a peer's new daemon is given to find its units and not to start others."""


async def adoption(bench: Bench) -> None:
    """Row 8 of supervision.md section 4."""
    for entry in bench.some(*PEERS, *ATOLL, children=("agent",)):
        ours = entry.name in ATOLL
        count = bench.options.adopted if ours else min(PEER_UNITS, bench.options.adopted)
        runs = bench.options.adoptions if ours else 1
        try:
            async with running(bench.build(entry, [f"unit{n:03}" for n in range(count)])) as up:
                for _ in range(runs):
                    await _once(bench, entry, up)
        except Unhealthy as error:
            bench.note(str(error))


async def _once(bench: Bench, entry: Entry, contender: Contender) -> None:
    ports = ports_of(contender.units)
    before = {port: identity(pid) for port, pid in (await client.pids_of(ports)).items()}
    load = Load(ports, RATE).start()
    await asyncio.sleep(0.5)
    await contender.kill_itself()
    await asyncio.sleep(0.5)
    begin = time.monotonic()
    await contender.start()
    adopted_at = await _until_known(contender, before, entry.name in ATOLL)
    duplicates = _duplicates(contender, before)
    shots = await load.stop()
    after = await client.pids_of(ports)
    kept = sum(who is not None and after.get(port) == who.pid for port, who in before.items())
    known = await _known_share(contender, before)
    label = entry.label
    if adopted_at is not None:
        bench.record("adopt_s", label, adopted_at - begin)
    bench.record("adopt_kept_percent", label, 100 * kept / len(ports))
    bench.record("adopt_known_percent", label, 100 * known)
    bench.record("adopt_failed", label, sum(shot.failed for shot in shots))
    bench.record("adopt_duplicates", label, duplicates)


async def _until_known(
    contender: Contender, before: dict[int, Identity | None], exact: bool
) -> float | None:
    """When the new daemon knew all of them, None when it did not in time."""
    if not exact:
        await asyncio.sleep(PEER_WAIT)
        return None
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        if await _known_share(contender, before) == 1.0:
            return time.monotonic()
        await asyncio.sleep(0.01)
    return None


async def _known_share(contender: Contender, before: dict[int, Identity | None]) -> float:
    """Share of the units that the daemon lists with the pid they had before."""
    known = await contender.known()
    old = {port: who.pid for port, who in before.items() if who is not None}
    same = [unit for unit in contender.units if known.get(unit.name) == old.get(unit.port, -1)]
    return len(same) / len(contender.units)


def _duplicates(contender: Contender, before: dict[int, Identity | None]) -> int:
    """Processes of a unit's command line, or at its socket, beside the one that there was."""
    old = {who.pid for who in before.values() if who is not None}
    ports = {str(unit.port) for unit in contender.units}
    others = processes.descendants(os.getpid()) - old - set(contender.own().values())
    found = {pid for pid in others if ports.intersection(" ".join(processes.words(pid)).split())}
    sharing = {pid for pids in sharers(set()).values() if pids & old for pid in pids & others}
    return len(processes.alive(who for pid in found | sharing if (who := identity(pid))))
