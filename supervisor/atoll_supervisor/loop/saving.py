"""Writes the state file beside the loop: soon after a change, never in its way."""

import asyncio
from collections.abc import Callable, Iterable

from atoll_supervisor.shell.journal import FleetRecord, Journal

DELAY = 0.1
"""Seconds that a change waits for others to be written with."""
AGAIN = 5.0
"""Seconds between two tries to write a state that could not be written."""


class Saving:
    """Keeps the file equal to what `record` gives; a failure is told once, and its end.

    `saved` is what the file holds, None when that cannot be trusted. `fault` says
    why the file is behind, "" when it is not.
    """

    def __init__(
        self,
        journal: Journal,
        saved: FleetRecord | None,
        record: Callable[[], FleetRecord],
        note: Callable[[str, str], object],
    ) -> None:
        self._journal = journal
        self._saved = saved
        self._record = record
        self._tell = note
        self.fault = ""
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._running = False
        self._writing = False
        self._waiting: list[asyncio.Future[None]] = []

    def mark(self) -> None:
        """Something that the file holds may have changed."""
        self._changed.set()

    async def flush(self) -> None:
        """Return when every change so far is in the file, or cannot be written."""
        if self._running and (self._changed.is_set() or self._writing):
            done = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            self._changed.set()
            self._hurry.set()
            await done

    async def run(self) -> None:
        """Write whenever there is something to write, until cancelled."""
        self._running = True
        try:
            while True:
                await self._changed.wait()
                await self._pause()
                await self._write()
        finally:
            self._running = False
            self._let_go(self._waiting)

    async def _write(self) -> None:
        self._changed.clear()
        self._hurry.clear()
        waiting, self._waiting = self._waiting, []
        self._writing = True
        try:
            record = self._record()
            if record != self._saved:
                self._note(record, await asyncio.to_thread(self._journal.save, record))
        finally:
            self._writing = False
            self._let_go(waiting)

    def finish(self) -> None:
        """Write what is left, at the very end; waits for the disk."""
        record = self._record()
        if record != self._saved:
            self._note(record, self._journal.save(record))

    def _let_go(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        for done in waiting:
            if not done.done():
                done.set_result(None)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(DELAY):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _note(self, record: FleetRecord, written: bool) -> None:
        fault = "" if written else self._journal.degraded
        self._saved = record if written else None  # a try that failed may have got half way
        if not written:
            asyncio.get_running_loop().call_later(AGAIN, self._changed.set)
        if fault != self.fault:
            self._tell(fault or "the state is written again", "")
        self.fault = fault
