"""One run while it is under way: takes its events one by one, keeps what comes of each, asks.

Whatever happens to a run waits in its inbox, so that nothing of it is ever
decided twice at once. What has come of an event is kept before anybody sees it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from atoll_supervisor.core.runs.events import (
    Ask,
    AskFailed,
    Begun,
    CancelAsked,
    Event,
    Interrupted,
    Outcome,
    Told,
)
from atoll_supervisor.core.runs.machine import FAULT, given_up, open_question, step
from atoll_supervisor.core.runs.records import Run
from atoll_supervisor.core.runs.roles import Find
from atoll_supervisor.loop.run_asks import Heard
from atoll_supervisor.shell.database import NotKept

RETRY = 1.0
"""Seconds between two tries to write to a disk that refuses."""
RESTARTED = "the daemon was restarted"
_log = logging.getLogger("atoll.runs")


class Asks(Protocol):
    """Whoever asks the agents."""

    async def ask(self, ask: Ask) -> Heard:
        """What came of the question."""
        ...


class Keeps(Protocol):
    """Whoever keeps runs."""

    async def save(self, run: Run, told: Sequence[Told], all_told: Sequence[Told]) -> None:
        """Keep what came of an event; raises NotKept."""
        ...


class Work:
    """A run under way. `told` holds all its events; what is shown here is kept."""

    def __init__(
        self,
        outcome: Outcome,
        store: Keeps,
        asker: Asks,
        find: Find,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.run = outcome.run
        self.told = list(outcome.told)
        self._store = store
        self._asker = asker
        self._find = find
        self._epoch = epoch
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._asking: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def begin(self) -> None:
        """There is room for it: what it waited for when it was kept has been interrupted."""
        key = open_question(self.run)
        now = self._epoch()
        self._inbox.put_nowait(Begun(now) if key is None else Interrupted(key, RESTARTED, now))

    def cancel(self) -> None:
        """Somebody wants it to end."""
        self._inbox.put_nowait(CancelAsked(self._epoch()))

    async def go(self) -> None:
        """Work until the run has ended."""
        try:
            while not self.run.is_final:
                await self._take(await self._inbox.get())
        finally:
            self._stop_asking()

    async def follow(
        self, after: int, leaving: asyncio.Event, pulse: float
    ) -> AsyncIterator[list[Told]]:
        """Events after an id and all that come, until the run or the daemon ends."""
        place = after
        while True:
            over, news = self.run.is_final or leaving.is_set(), self._news
            if found := [one for one in self.told if one.id > place]:
                place = found[-1].id
                yield found
            elif over:
                return
            elif not await either(news, leaving, pulse):
                yield []

    async def ended(self, leaving: asyncio.Event) -> None:
        """Return when the run has ended, or the daemon leaves."""
        while not self.run.is_final and not leaving.is_set():
            await either(self._news, leaving, None)

    async def _take(self, event: Event) -> None:
        outcome = await self._kept(event)
        if outcome is None:
            return
        self.run = outcome.run
        self.told += outcome.told
        news, self._news = self._news, asyncio.Event()
        news.set()
        if outcome.ask is not None:
            self._stop_asking()
            self._asking = asyncio.create_task(self._ask(outcome.ask))

    async def _kept(self, event: Event) -> Outcome | None:
        """What came of it, None for nothing; a fault of ours ends the run, or it stays open."""
        try:
            outcome = step(self.run, event, self._find)
            if not outcome.told and outcome.ask is None:
                return None
            await self._keep(outcome)
        except Exception:  # noqa: BLE001  whatever it is, the run must not stay open for ever
            _log.exception("run %s cannot take %s", self.run.plan.run_id, type(event).__name__)
            outcome = given_up(self.run, event.at)
            await self._keep(outcome)
        return outcome

    async def _keep(self, outcome: Outcome) -> None:
        """A disk that refuses is waited for: what is not kept is not told."""
        all_told = [*self.told, *outcome.told]
        while True:
            try:
                await self._store.save(outcome.run, outcome.told, all_told)
            except NotKept as error:
                _log.warning("run %s waits: %s", self.run.plan.run_id, error)
                await asyncio.sleep(RETRY)
            else:
                return

    async def _ask(self, ask: Ask) -> None:
        try:
            heard: Event = await self._asker.ask(ask)
        except Exception:  # noqa: BLE001  the same
            _log.exception("run %s could not ask %s", self.run.plan.run_id, ask.agent)
            heard = AskFailed(ask.key, FAULT, "internal", self._epoch())
        self._inbox.put_nowait(heard)

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None


async def either(one: asyncio.Event, other: asyncio.Event, limit: float | None) -> bool:
    """Wait until one of them is set, `limit` seconds at most; whether one was."""
    waits = [asyncio.create_task(one.wait()), asyncio.create_task(other.wait())]
    try:
        done, _ = await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)
