"""Fifty agents: start, memory, stop; the supervisor itself with a hundred."""

import asyncio
import time

from benchmarks.supervision import client, processes
from benchmarks.supervision.bench import ATOLL, FLOORS, PEERS, Bench, Entry, running
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.processes import Identity, identity
from benchmarks.supervision.units import ports_of

SETTLE = 2.0
GONE_LIMIT = 60.0


async def fleet(bench: Bench) -> None:
    """Rows 4, 5 and 12 of supervision.md section 4, one supervisor at a time."""
    for _ in range(bench.options.rounds):
        for entry in bench.some(*PEERS, *FLOORS, *ATOLL):
            try:
                await _round(bench, entry)
            except Unhealthy as error:
                bench.note(str(error))


async def _round(bench: Bench, entry: Entry) -> None:
    names = [f"unit{n:03}" for n in range(bench.options.fleet)]
    contender = bench.build(entry, names)
    begin = time.monotonic()
    async with running(contender):
        bench.record("fleet_cold_s", entry.label, time.monotonic() - begin)
        await asyncio.sleep(SETTLE)
        serving = await _serving(contender)
        pids = {who.pid for who in serving} | _template(contender)
        bench.record("fleet_pss_mib", entry.label, processes.pss(pids))
        await _stop_all(bench, entry.label, contender, serving)
        await _start_all(bench, entry.label, contender)


async def _serving(contender: Contender) -> list[Identity]:
    found = (await client.pids_of(ports_of(contender.units))).values()
    return [who for who in map(identity, found) if who is not None]


def _template(contender: Contender) -> set[int]:
    """What the agents are forked from is part of what they cost."""
    return {pid for role, pid in contender.own().items() if role == "template"}


async def _stop_all(
    bench: Bench, label: str, contender: Contender, serving: list[Identity]
) -> None:
    """Until the command has returned *and* every process is gone."""
    begin = time.monotonic()
    await contender.stop_all()
    bench.record("stop_return_s", label, time.monotonic() - begin)
    while (left := processes.alive(serving)) and time.monotonic() < begin + GONE_LIMIT:
        await asyncio.sleep(0.005)
    bench.record("stop_gone_s", label, time.monotonic() - begin)
    if left:
        bench.note(f"{label}: {len(left)} units still live {GONE_LIMIT:.0f} s after stop all")


async def _start_all(bench: Bench, label: str, contender: Contender) -> None:
    """Start command of a supervisor that runs, until every unit is healthy."""
    begin = time.monotonic()
    command = asyncio.create_task(contender.start_all())
    healthy = await client.until_all_healthy(ports_of(contender.units))
    elapsed = time.monotonic() - begin
    await command
    if healthy:
        bench.record("fleet_start_s", label, elapsed)
    else:
        bench.note(f"{label}: start all did not bring every unit up")


async def idle(bench: Bench) -> None:
    """Rows 6 and 7: the supervisor's own memory and CPU with a hundred idle units."""
    peers = bench.some(*PEERS, children=("bare",)) or bench.some(*PEERS)
    for entry in [*peers, *bench.some(*FLOORS, *ATOLL)]:
        names = [f"unit{n:03}" for n in range(bench.options.adopted)]
        try:
            async with running(bench.build(entry, names)) as contender:
                await asyncio.sleep(2 * SETTLE)
                own = contender.own()
                for role, pid in own.items():
                    bench.record(f"own_pss_mib/{role}", entry.label, processes.pss([pid]))
                bench.record("own_pss_mib", entry.label, processes.pss(own.values()))
                await record_cpu(bench, "own_cpu_percent", entry.label, own)
        except Unhealthy as error:
            bench.note(str(error))


async def record_cpu(bench: Bench, metric: str, label: str, own: dict[str, int]) -> None:
    """Share of one core in percent, of each of the supervisor's processes and of all."""
    begin = time.monotonic()
    before = {role: processes.cpu_seconds([pid]) for role, pid in own.items()}
    await asyncio.sleep(bench.options.cpu_window)
    elapsed = time.monotonic() - begin
    used = {
        role: 100 * (processes.cpu_seconds([pid]) - before[role]) / elapsed
        for role, pid in own.items()
    }
    for role, percent in used.items():
        bench.record(f"{metric}/{role}", label, percent)
    bench.record(metric, label, sum(used.values()))
