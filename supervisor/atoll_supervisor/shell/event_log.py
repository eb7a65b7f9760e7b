"""Everything that happened: told at once, kept soon after, read back from any place.

The newest events are in memory, so that a reader that keeps up never touches
the disk and a disk that refuses never holds up the fleet. Readers pull: each
knows the id that it has had last, and nothing waits in a queue for it, however
slow it is. All calls are made on one event loop; SQLite has a thread of its own.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path

from atoll.errors import AtollError
from atoll_supervisor.core.effects import Record
from atoll_supervisor.core.happening import Happening, next_id, of_note, of_record
from atoll_supervisor.core.view import Clock
from atoll_supervisor.shell import event_rows
from atoll_supervisor.shell.database import REFUSALS, reason_of
from atoll_supervisor.shell.database_thread import DatabaseThread

BATCH = 0.1
"""Seconds that an event may wait for others to be committed with."""
RETRY = 2.0
"""Seconds between two tries to write to a disk that refuses."""
RECENT = 1000
"""Events that are kept in memory although they are stored."""
WAITING = 20_000
"""Events that wait at most for a disk that refuses; then the oldest are lost."""
PAGE = 200
"""Events that a follower is given in one go."""
PULSE = 15.0
"""Seconds after which a follower hears that nothing has happened."""
CLOSE_LIMIT = 5.0
_PRUNE_EVERY = 500
"""Commits between two looks for events that are too old or too many."""

Tell = Callable[[Happening], None]


def _silent(_happening: Happening) -> None:
    return None


class EventLog:
    """The events of one daemon, over `atoll.db`; a `ports.Events`. Closing it closes the file.

    `tell` is called with each event when it is recorded, in the order of the
    ids. `now` is monotonic and `epoch` wall-clock seconds. Raises ConfigError
    for a database of a newer ATOLL; whatever else is wrong with it is told in
    a note, and the fleet goes on.
    """

    def __init__(
        self,
        place: Path | DatabaseThread,
        now: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
        tell: Tell = _silent,
        *,
        pulse: float = PULSE,
    ) -> None:
        self.degraded = ""
        self._now = now
        self._epoch = epoch
        self._tell = tell
        self._pulse = pulse
        self._disk = place if isinstance(place, DatabaseThread) else DatabaseThread(place)
        self._recent: deque[Happening] = deque()
        self._newest = self._stored = self._open()
        self._outside = max(1, self._newest)  # of a disk that refuses now, more may be read later
        self._lost = 0
        self._commits = 0
        self._urgent = asyncio.Event()
        self._closing = asyncio.Event()
        self._followers: set[asyncio.Event] = set()
        self._writer: asyncio.Task[None] | None = None

    def record(self, slug: str, record: Record) -> Happening:
        """Take in a transition; one with an end of a process is committed at once."""
        clock = self._clock()
        happening = of_record(next_id(self._newest, clock.epoch), clock, slug, record)
        self._add(happening, urgent=record.ended is not None)
        return happening

    def note(self, cause: str, unit: str = "") -> Happening:
        """Take in something worth telling that is no transition."""
        clock = self._clock()
        happening = of_note(next_id(self._newest, clock.epoch), clock, unit, cause)
        self._add(happening, urgent=False)
        return happening

    async def since(self, after: int, unit: str | None, limit: int) -> list[Happening]:
        """The first `limit` events after an id, oldest first; of one unit unless None."""
        recent = self._recent_of(after, unit)
        if after < self._outside:
            found = await self._read(partial(event_rows.since, after=after, unit=unit, limit=limit))
            recent = _joined(found, recent)
        return recent[:limit]

    async def latest(self, unit: str | None, limit: int) -> list[Happening]:
        """The newest `limit` events, oldest first; of one unit unless None."""
        recent = self._recent_of(0, unit)
        if len(recent) < limit and self._outside:
            found = await self._read(partial(event_rows.latest, unit=unit, limit=limit))
            recent = _joined(found, recent)
        return recent[-limit:] if limit else []

    async def follow(
        self, unit: str | None, leaving: asyncio.Event, after: int | None = None, tail: int = 0
    ) -> AsyncGenerator[list[Happening]]:
        """Events after an id, or the last `tail`, then all that come: none twice, none left out.

        Nothing for a while comes as an empty list. Ends after the newest event
        once `leaving` is set.
        """
        place = self._newest if after is None else min(after, self._newest)
        with self._told(leaving) as news:
            if after is None and tail:
                found = await self.latest(unit, tail)
                place = _last_id(found, place)
                yield found
            while True:
                news.clear()
                over, newest = leaving.is_set(), self._newest
                found = await self.since(place, unit, PAGE)
                place = _last_id(found, place if len(found) == PAGE else newest)
                if found:
                    yield found
                elif over:
                    return
                elif not await _happens(news, self._pulse):
                    yield []

    async def close(self) -> None:
        """Commit what is left, for a few seconds at most, and close the file.

        What is recorded afterwards is told and not kept; nothing can be read.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._urgent.set()
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=CLOSE_LIMIT)
        await self._disk.close(CLOSE_LIMIT)

    # what is told

    def _clock(self) -> Clock:
        return Clock(self._now(), self._epoch())

    def _add(self, happening: Happening, *, urgent: bool) -> None:
        self._recent.append(happening)
        self._newest = happening.id
        self._trim()
        for news in self._followers:
            news.set()
        if urgent:
            self._urgent.set()
        if self._writer is None and not self._closing.is_set():
            self._writer = asyncio.get_running_loop().create_task(self._write())
        self._tell(happening)

    def _trim(self) -> None:
        """Let go of what is stored, and of more only where it would be too much."""
        recent = self._recent
        while len(recent) > RECENT and (recent[0].id <= self._stored or len(recent) > WAITING):
            self._outside = recent.popleft().id
            self._lost += self._outside > self._stored

    @contextmanager
    def _told(self, leaving: asyncio.Event) -> Generator[asyncio.Event]:
        """An event that is set by whatever is recorded, and when the daemon leaves."""
        news = asyncio.Event()
        self._followers.add(news)
        left = asyncio.create_task(leaving.wait())
        left.add_done_callback(lambda _: news.set())
        try:
            yield news
        finally:
            self._followers.discard(news)
            left.cancel()

    def _recent_of(self, after: int, unit: str | None) -> list[Happening]:
        newer = takewhile(lambda one: one.id > after, reversed(self._recent))
        return [one for one in newer if unit is None or one.unit == unit][::-1]

    # what is kept

    def _open(self) -> int:
        """The highest id that is stored; 0 when the disk refuses, which the first write tells."""
        try:
            return self._disk.run_now(event_rows.newest)
        except REFUSALS:
            return 0
        except BaseException:
            self._disk.give_up()
            raise

    async def _write(self) -> None:
        """Commit until everything is on the disk; runs only while there is something to do."""
        try:
            while self._stored < self._newest:
                last = self._closing.is_set()
                await _happens(self._urgent, BATCH)
                self._urgent.clear()
                await self._commit(self._recent_of(self._stored, None))
                if self.degraded and last:
                    return
                if self.degraded:
                    await _happens(self._closing, RETRY)
        finally:
            self._writer = None

    async def _commit(self, batch: Sequence[Happening]) -> None:
        try:
            await self._disk.run(partial(event_rows.insert, happenings=batch))
            await self._prune()
        except (*REFUSALS, AtollError) as error:
            self._refused(error)
        else:
            self._stored = batch[-1].id
            self._trim()
            self._works()
        for warning in self._disk.take_warnings():
            self._stored = self._outside  # a new file is given what is still known
            self.note(warning)

    async def _prune(self) -> None:
        self._commits -= 1
        if self._commits < 0:
            more = await self._disk.run(partial(event_rows.prune, epoch=self._epoch()))
            self._commits = 0 if more else _PRUNE_EVERY

    async def _read(
        self, query: Callable[[sqlite3.Connection], list[Happening]]
    ) -> list[Happening]:
        try:
            return await self._disk.run(query)
        except (*REFUSALS, AtollError) as error:
            self._refused(error)
            return []

    def _refused(self, error: Exception) -> None:
        if not self.degraded:
            self.degraded = f"{self._disk.path} cannot be used: {reason_of(error)}"
            self.note(f"{self.degraded}; up to {WAITING} events wait in memory")

    def _works(self) -> None:
        if self.degraded or self._lost:
            lost, self.degraded, self._lost = self._lost, "", 0
            self.note(f"{self._disk.path} is written again; {lost} events were lost")


def _joined(stored: list[Happening], recent: list[Happening]) -> list[Happening]:
    """Both, oldest first; what was in memory may have been stored meanwhile."""
    last = _last_id(stored, 0)
    return stored + [one for one in recent if one.id > last]


def _last_id(happenings: Sequence[Happening], otherwise: int) -> int:
    return max(happenings[-1].id, otherwise) if happenings else otherwise


async def _happens(event: asyncio.Event, limit: float) -> bool:
    """Wait until it is set, `limit` seconds at most; whether it was."""
    try:
        async with asyncio.timeout(limit):
            return await event.wait()
    except TimeoutError:
        return False
