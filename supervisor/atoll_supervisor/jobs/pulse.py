"""Asks a job's agent for its pulse, once a second, over one kept connection."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from atoll.adapters.channel import BEAT, Pulse
from atoll.wire.relay import LEAVE, PULSE, Beat, greeting_of
from atoll_supervisor.core.agent_job import SILENCE
from atoll_supervisor.shell.probe import Prober

FIRST = 0.1
"""Seconds between two questions to an agent that has not answered yet."""
FAREWELL = 300.0
"""Seconds that an agent which has said that it leaves may be silent. SLURM ends it after its
KillWait, 30 s as shipped, and then its queue says so; this is for a cluster that says nothing."""
_SAME = 0.5
"""Seconds by which two tellings of one moment may differ: answers take their time."""


class Attendant:
    """Attends a job; `pulse` is the last that it told.

    It is `well` from its first answer until it does not answer, and `takes` requests
    while it is well and not leaving; `turned` is called when one of these changes.
    """

    def __init__(self, place: tuple[str, int], key: str, turned: Callable[[], None]) -> None:
        self.pulse = Pulse()
        self.well = False
        self._is_leaving = False
        self._turned = turned
        self._place = place
        self._greeting = greeting_of(key, "relay")
        self._prober = Prober(place, path=PULSE, greeting=self._greeting)
        self._heard = time.monotonic()

    @property
    def takes(self) -> bool:
        """Whether it is to be brought what comes."""
        return self.well and not self._is_leaving

    async def until_ready(self, limit: float) -> str:
        """Wait for the first answer; says why there is none after `limit` seconds, else ""."""
        until, why = time.monotonic() + limit, "no answer"
        while why and time.monotonic() < until:
            why = await self._ask()
            if why:
                await asyncio.sleep(FIRST)
        return f"start-timeout: it did not answer within {limit:g} s ({why})" if why else ""

    async def until_lost(self) -> str:
        """Go on asking; says why, when it has not answered for `SILENCE` seconds."""
        why = ""
        while not why or time.monotonic() - self._heard < self._patience:
            await asyncio.sleep(BEAT)
            why = await self._ask()
        return f"it did not answer for {self._patience:g} s: {why}"

    @property
    def _patience(self) -> float:
        """Seconds of silence: one that leaves has closed its port, and finishes what it has."""
        return FAREWELL if self._is_leaving else SILENCE

    async def tell_to_leave(self) -> bool:
        """Have the agent finish what it has and end; whether it has heard that.

        Kept connections would make it wait, so there is none from now on.
        """
        prober = Prober(self._place, path=LEAVE, greeting=self._greeting)
        heard = await prober.probe()
        prober.close()
        self._prober.close()
        return heard.ok

    async def _ask(self) -> str:
        """One question; says why it was not answered, else ""."""
        before, why = (self.well, self._is_leaving), await self._asked()
        self.well = not why
        if (self.well, self._is_leaving) != before:
            self._turned()
        return why

    async def _asked(self) -> str:
        found = await self._prober.probe()
        if not found.ok:
            return found.reason
        try:
            beat = msgspec.convert(found.health, Beat)
        except msgspec.ValidationError:
            return "it told no pulse"
        self._heard = time.monotonic()
        self._is_leaving = beat.leaving
        self.pulse = Pulse(beat.in_flight, self._active(beat.idle))
        return ""

    def _active(self, idle: float | None) -> float:
        """When it was last used, on this machine's clock."""
        if idle is None:
            return 0.0
        before, now = self.pulse.active, self._heard - idle
        return before if abs(now - before) < _SAME else now
