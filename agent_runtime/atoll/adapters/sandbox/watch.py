"""Limits that the kernel does not hold by itself: all processes' memory together, and time."""

import asyncio
import time
from typing import Final

from atoll.adapters.sandbox.process import Worker

INTERVAL: Final = 0.05
"""Seconds between two looks while code runs."""
_SHARE: Final = 10
"""A look that takes long is followed by a pause of so many times as long."""


class Watch:
    """Looks at what runs: `memory` in bytes of everything together, `seconds` of one step."""

    def __init__(self, memory: int, seconds: float) -> None:
        self.seconds = seconds
        self._memory = memory

    async def over(self, worker: Worker) -> None:
        """End the sandbox when it holds more than it may, until cancelled."""
        pause = INTERVAL
        while True:
            await asyncio.sleep(pause)
            began = time.perf_counter()
            if worker.held(self._memory) > self._memory:
                worker.kill(f"it held over {self._memory / 1e6:.0f} MB of memory")
                return
            pause = max(INTERVAL, _SHARE * (time.perf_counter() - began))
