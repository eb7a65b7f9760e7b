"""Waiting for something to become true on the loop, and counting descriptors."""

import asyncio
import gc
from pathlib import Path

LIMIT = 20.0


async def until(true, limit: float = LIMIT) -> None:
    """Wait until something becomes true, or fail."""
    async with asyncio.timeout(limit):
        while not true():
            await asyncio.sleep(0.01)


def open_fds() -> set[str]:
    """Our descriptors' numbers; what earlier tests dropped is closed first, not meanwhile."""
    gc.collect()
    return {path.name for path in Path("/proc/self/fd").iterdir()}
