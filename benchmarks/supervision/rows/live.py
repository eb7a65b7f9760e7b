"""What only ATOLL does, each measured alone: edits, sleep, lists, big fleets."""

import asyncio
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.supervision import client, processes, units
from benchmarks.supervision.bench import SPARE_PORTS, Bench, ended, running
from benchmarks.supervision.contenders.atoll import Atoll
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.rows.fleet import record_cpu
from benchmarks.supervision.units import Unit, ports_of, write_manifest

ASLEEP_LIMIT = 60.0
REGISTER_LIMIT = 300.0
NAPS = 5
LISTS = 200


async def edits(bench: Bench) -> None:
    """An edited manifest is saved -> another process answers (the new configuration is live)."""
    for entry in bench.some("atoll", "atoll-exec"):
        async with running(bench.build(entry, [f"unit{n}" for n in range(4)])) as contender:
            await asyncio.sleep(2)
            for number in range(2 * bench.options.rounds):
                unit = contender.units[number % 4]
                before = (await client.get(unit.port)).pid
                begin = time.monotonic()
                write_manifest(unit.folder, unit.name, unit.port, deployment=_extra(contender),
                               description=f"Edited {number} times.")  # fmt: skip
                live = await client.until_healthy(unit.port, before, 10.0)
                took = 1000 * (live - begin) if live else float("inf")
                bench.record("edit_to_live_ms", entry.label, took)
                await asyncio.sleep(0.5)


async def sleep(bench: Bench) -> None:
    """Scale to zero: the first request to an agent that sleeps."""
    for entry in bench.some("atoll", "atoll-exec"):
        names = [f"unit{n}" for n in range(max(2, bench.options.rounds))]
        contender = bench.build(entry, names, deployment="idle_timeout = 1\n")
        async with running(contender):
            for _ in range(NAPS):
                await _until_asleep(contender)
                for unit in contender.units:
                    begin = time.monotonic()
                    answer = await client.get(unit.port)
                    took = 1000 * (time.monotonic() - begin)
                    bench.record("wake_first_ms", entry.label, took)
                    bench.record("wake_failed", entry.label, answer.kind != "ok")


async def _until_asleep(contender: Contender) -> None:
    assert isinstance(contender, Atoll)
    until = time.monotonic() + ASLEEP_LIMIT
    while {row.phase for row in await contender.rows()} != {"asleep"}:
        if time.monotonic() > until:
            raise Unhealthy(f"{contender.label}: agents with idle_timeout = 1 do not sleep")
        await asyncio.sleep(0.1)


async def lists(bench: Bench) -> None:
    """The management list: what it costs beyond an empty answer of the same server, and in all."""
    for entry in bench.some("atoll"):
        names = [f"unit{n:03}" for n in range(bench.options.listed)]
        async with running(bench.build(entry, names)) as contender:
            assert isinstance(contender, Atoll)
            await asyncio.sleep(2)
            port = contender.api_port
            listed = [await _timed(port, "/api/v1/agents") for _ in range(LISTS)]
            empty = [await _timed(port, "/health") for _ in range(LISTS)]
            build = statistics.median(listed) - statistics.median(empty)
            bench.record("list_build_ms", entry.label, build)
            bench.record("list_p50_ms", entry.label, statistics.median(listed))
            bench.record("list_p99_ms", entry.label, sorted(listed)[int(0.99 * LISTS)])


async def _timed(port: int, path: str) -> float:
    """Milliseconds on a kept connection."""
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(client.Exchange, client.HOST, port)
    try:
        await exchange.ask(client.request_for("/health", keep=True))
        begin = time.perf_counter()
        answer = await exchange.ask(client.request_for(path, keep=True))
        took = 1000 * (time.perf_counter() - begin)
    finally:
        exchange.close()
    if answer.kind != "ok":
        raise Unhealthy(f"{path} answered {answer.kind}")
    return took


async def big(bench: Bench) -> None:
    """Row 9 of DESIGN section 13: keeper and daemon with 500 agents, each heard every second."""
    for entry in bench.some("atoll"):
        names = [f"unit{n:03}" for n in range(bench.options.supervised)]
        begin = time.monotonic()
        async with running(bench.build(entry, names), 300) as contender:
            bench.record("big_start_s", entry.label, time.monotonic() - begin)
            await asyncio.sleep(5)
            own = contender.own()
            await record_cpu(bench, "big_cpu_percent", entry.label, own)
            for role, pid in own.items():
                bench.record(f"big_pss_mib/{role}", entry.label, processes.pss([pid]))
            await _polling(bench, ports_of(contender.units))


async def _polling(bench: Bench, ports: list[int]) -> None:
    """What it costs to ask each of them over HTTP every second, as pollers do."""
    script = str(Path(__file__).parent.with_name("polling.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, *map(str, ports), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(3)
        await record_cpu(bench, "big_cpu_percent", "httpx pool, polling", {"all": process.pid})
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def sleepers(bench: Bench) -> None:
    """Ten thousand sleeping agents: memory of daemon and keeper, and the time to register them."""
    count = bench.options.sleepers
    for entry in bench.some("atoll"):
        names = [f"unit{n:05}" for n in range(count)]
        deployment = "idle_timeout = 60\n"
        first = units.block(count + SPARE_PORTS)
        contender = bench.build(entry, names, deployment=deployment, base_port=first)
        assert isinstance(contender, Atoll)
        begin = time.monotonic()
        try:
            await contender.start()
            await _until_listed(contender, count)
            bench.record("sleepers_register_s", entry.label, time.monotonic() - begin)
            await asyncio.sleep(5)
            own = contender.own()
            for role, pid in own.items():
                bench.record(f"sleepers_pss_mib/{role}", entry.label, processes.pss([pid]))
            pair = [pid for role, pid in own.items() if role != "template"]
            bench.record("sleepers_pss_mib", entry.label, processes.pss(pair))
            await _wake_one(bench, entry.label, contender.units[count // 2])
        finally:
            await ended(contender)


async def _until_listed(contender: Atoll, count: int) -> None:
    """Until each is asleep behind a held socket; raises Unhealthy that names one which is not."""
    until = time.monotonic() + REGISTER_LIMIT
    while True:
        rows = await contender.rows()
        awake = [row for row in rows if row.phase != "asleep"]
        asleep = len(rows) - len(awake)
        if asleep >= count:
            return
        if time.monotonic() > until:
            example = f"{awake[0].slug} is {awake[0].phase}: {awake[0].reason}" if awake else ""
            raise Unhealthy(f"{contender.label}: {asleep} of {count} registered; {example}")
        await asyncio.sleep(0.25)


async def _wake_one(bench: Bench, label: str, unit: Unit) -> None:
    begin = time.monotonic()
    answer = await client.get(unit.port)
    took = 1000 * (time.monotonic() - begin)
    bench.record("sleepers_wake_ms", label, took if answer.kind == "ok" else float("inf"))


def _extra(contender: Contender) -> str:
    return contender.deployment if isinstance(contender, Atoll) else ""
