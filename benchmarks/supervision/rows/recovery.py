"""One unit, all supervisors up together, turns interleaved: crash, crash under load, restart, hang.

"Serving" is: /health is answered by another process than before. A request has
failed when it was answered by anything but 200.
"""

import asyncio
import signal
import time
from contextlib import AsyncExitStack

from benchmarks.supervision import client
from benchmarks.supervision.bench import ATOLL, FLOORS, PEERS, Bench, running
from benchmarks.supervision.client import Load, Shot
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.processes import Identity, identity, kill
from benchmarks.supervision.units import Unit

RATE = 200
LEAD = 0.7
"""Seconds of load before something happens."""
REQUESTS = 500
AFTER = 0.5
"""Seconds of load after service is back."""
PATIENCE = 30.0


async def recovery(bench: Bench) -> None:
    """Rows 1, 2, 3 and 11 of supervision.md section 4."""
    rounds = bench.options.rounds
    names = [f"{what}{n}" for what in ("kill", "load") for n in range(rounds)]
    async with AsyncExitStack() as stack:
        up: dict[str, Contender] = {}
        for entry in bench.some(*PEERS, *FLOORS, *ATOLL):
            contender = bench.build(entry, [*names, "restart", "hang"])
            try:
                up[entry.label] = await stack.enter_async_context(running(contender))
            except Unhealthy as error:
                bench.note(str(error))
        await asyncio.sleep(2)
        for number in range(rounds):
            for label, contender in up.items():
                await _turn(bench, label, contender, number)
        await asyncio.gather(*(_hang(bench, label, each) for label, each in up.items()))


async def _turn(bench: Bench, label: str, contender: Contender, number: int) -> None:
    await _crash(bench, label, contender.unit(f"kill{number}"))
    await _crash_under_load(bench, label, contender.unit(f"load{number}"))
    await _restart_under_load(bench, label, contender)


async def server_of(unit: Unit) -> Identity:
    """Which process answers there; raises Unhealthy when none does."""
    found = identity((await client.get(unit.port)).pid)
    if found is None:
        raise Unhealthy(f"{unit.name} does not serve")
    return found


async def _crash(bench: Bench, label: str, unit: Unit) -> None:
    who = await server_of(unit)
    begin = time.monotonic()
    kill(who)
    served = await client.until_healthy(unit.port, who.pid, PATIENCE)
    bench.record("kill_to_serving_s", label, (served or time.monotonic()) - begin)


async def _crash_under_load(bench: Bench, label: str, unit: Unit) -> None:
    who = await server_of(unit)
    load = Load([unit.port], RATE).start()
    await asyncio.sleep(LEAD)
    kill(who)
    shots = await _until_served(load, unit, who)
    bench.record("kill_failed", label, sum(shot.failed for shot in shots))
    bench.record("kill_worst_ms", label, client.worst_ms(shots))
    if failed := client.kinds(shots):
        print(f"    {label}: failed at kill -9: {failed}")


async def _restart_under_load(bench: Bench, label: str, contender: Contender) -> None:
    unit = contender.unit("restart")
    who = await server_of(unit)
    load = Load([unit.port], RATE).start()
    await asyncio.sleep(LEAD)
    begin = time.monotonic()
    await contender.restart(unit.name)
    bench.record("restart_command_s", label, time.monotonic() - begin)
    shots = await _until_served(load, unit, who)
    bench.record("restart_failed", label, sum(shot.failed for shot in shots))
    bench.record("restart_worst_ms", label, client.worst_ms(shots))
    if failed := client.kinds(shots):
        print(f"    {label}: failed in a restart: {failed}")


async def _until_served(load: Load, unit: Unit, before: Identity) -> list[Shot]:
    """Go on until 0.5 s after service is back, and at least for 500 requests."""
    await client.until_healthy(unit.port, before.pid, PATIENCE)
    await asyncio.sleep(max(AFTER, (REQUESTS - load.sent) / RATE))
    return await load.stop()


async def _hang(bench: Bench, label: str, contender: Contender) -> None:
    """SIGSTOP; the value is the limit when nothing happened within it."""
    limit = bench.options.hang_limit
    unit = contender.unit("hang")
    who = await server_of(unit)
    begin = time.monotonic()
    kill(who, signal.SIGSTOP)
    try:
        served = await client.until_healthy(unit.port, who.pid, limit)
    finally:
        kill(who, signal.SIGCONT)
    bench.record("hang_to_serving_s", label, served - begin if served else float("inf"))


async def restarts(bench: Bench) -> None:
    """Row 3: twenty restarts in a row under 200 requests/s, of those that hold sockets."""
    for entry in bench.some("circus-sock", "floor-sock", *ATOLL):
        try:
            async with running(bench.build(entry, ["restart"])) as contender:
                await _many_restarts(bench, entry.label, contender)
        except Unhealthy as error:
            bench.note(str(error))


async def _reason(contender: Contender, unit: Unit) -> str:
    """What ATOLL says of the unit."""
    rows = await contender.rows() if isinstance(contender, Atoll) else []
    return "".join(f"; {row}" for row in rows if row.slug == unit.name)


async def _many_restarts(bench: Bench, label: str, contender: Contender) -> None:
    unit = contender.units[0]
    load = Load([unit.port], RATE).start()
    for number in range(1, bench.options.restarts + 1):
        who = await server_of(unit)
        await contender.restart(unit.name)
        if await client.until_healthy(unit.port, who.pid, PATIENCE) is None:
            why = await _reason(contender, unit)
            bench.note(f"{label}: restart {number} brought no other process than {who.pid}{why}")
        await asyncio.sleep(max(0.0, (number * REQUESTS - load.sent) / RATE))
    shots = await load.stop()
    bench.record("restarts_requests", label, len(shots))
    bench.record("restarts_failed", label, sum(shot.failed for shot in shots))
    bench.record("restarts_worst_ms", label, client.worst_ms(shots))
    if failed := client.kinds(shots):
        bench.note(f"{label}: failed in {bench.options.restarts} restarts: {failed}")
