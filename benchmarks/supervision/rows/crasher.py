"""An agent that ends as soon as it starts: how often it is tried, and whether it ever heals."""

import asyncio
import time

from benchmarks.supervision import client
from benchmarks.supervision.bench import ATOLL, PEERS, Bench, Entry, ended
from benchmarks.supervision.units import CRASHER, write_manifest

HEAL_LIMIT = 35.0


async def crasher(bench: Bench) -> None:
    """Row 10 of supervision.md section 4, all at once: they sleep most of the time."""
    entries = bench.some(*PEERS, *ATOLL, children=("agent",))
    await asyncio.gather(*(_one(bench, entry) for entry in entries))


async def _one(bench: Bench, entry: Entry) -> None:
    """Tries in the window; then the cause goes, and the unit heals by itself or never."""
    tries, broken = bench.file("tries"), bench.file("broken")
    broken.touch()
    tools = CRASHER % {"tries": str(tries), "broken": str(broken)}
    contender = bench.build(entry, ["crasher"], tools=tools)
    unit = contender.units[0]
    try:
        begin = time.monotonic()
        await contender.start()
        await asyncio.sleep(bench.options.crash_window - (time.monotonic() - begin))
        count = len(tries.read_text().splitlines()) if tries.exists() else 0
        bench.record("crasher_tries", entry.label, count)
        broken.unlink()
        begin = time.monotonic()
        healed = await client.until_healthy(unit.port, limit=HEAL_LIMIT)
        bench.record("crasher_heals_s", entry.label, healed - begin if healed else float("inf"))
        if healed is None and entry.name in ATOLL:
            write_manifest(unit.folder, unit.name, unit.port, tools=True, description="Mended.")
            healed = await client.until_healthy(unit.port, limit=HEAL_LIMIT)
            bench.note(f"{entry.label}: did not heal by itself; by an edit: {healed is not None}")
    finally:
        await ended(contender)
