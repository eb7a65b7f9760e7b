"""When to look at the agents directory again: as soon as something in it has changed.

A look reads everything, so nothing is kept of what changed but that something
did. The watch itself is the `watchfiles` library's (inotify(7) on Linux). It
tells nothing when the kernel's queue overflows, follows links to anywhere in a
tree, and ends for good at a file name that is no UTF-8; therefore

- folders are watched one by one as `watched.folders_of` lists them, never a tree;
- every burst is followed by one more look, which also lists the folders anew:
  what came too early for a new watch, or was lost, is found by it;
- also changes that concern nobody lead to a look, only not at once: when the
  queue overflowed they may be all that is left of it;
- a watch that breaks is begun again, and where there can be none the directory
  is looked at every two seconds.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from pathlib import Path

from msgspec import Struct
from watchfiles import Change, watch

from atoll_supervisor.shell.watched import Folders, concerns, folders_of, identity_of

FileChange = tuple[Change, str]

_SAVE = 2
"""Bursts that one save of an editor may come as."""
FLOOD = 256
"""So many changes at once concern somebody: asking each of them would take too long."""


class Pace(Struct, frozen=True, kw_only=True):
    """How fast, in seconds.

    `step` is how often the library looks into its own queue: each edit waits for
    one to two of them, and each costs an idle daemon CPU (0.15 % of a core at
    40 ms, 0.65 % at 10). `again` is from a burst to the look after it, `doubt`
    from changes that concern nobody to the look that they cause. Of bursts that
    follow each other within `calm` the first two are told at once and the rest
    when it is calm again, but not later than `storm` after the last look; however
    it comes about, between looks are pauses that grow from `shortest` to
    `longest`. `poll` is between looks without a watch, `retry` until
    a watch is tried again.
    """

    step: float = 0.04
    tick: float = 0.5
    again: float = 0.5
    doubt: float = 10.0
    calm: float = 0.3
    shortest: float = 0.1
    longest: float = 1.0
    storm: float = 2.0
    poll: float = 2.0
    retry: float = 60.0


PACE = Pace()


async def changes(
    folder: Path, warn: Callable[[str], None], pace: Pace = PACE
) -> AsyncGenerator[None, None]:
    """Yield once per burst of changes below `folder`, and once soon after the watch began.

    The folder (absolute) may be missing, come, go and be replaced at any time. Ends only
    by being closed or cancelled, within one `step`. `warn` is told once that
    nothing can be watched, and once that it can again.
    """
    restful = _Restful(pace)
    async with aclosing(_looks(folder, warn, pace)) as looks:
        async for _ in looks:
            yield
            await restful.rest()


async def _looks(
    folder: Path, warn: Callable[[str], None], pace: Pace
) -> AsyncGenerator[None, None]:
    blind = _Blindness(folder, warn, pace)
    storm = _Storm(pace)
    is_there = True
    while True:
        try:
            folders = await asyncio.to_thread(folders_of, folder)
            async with aclosing(_bursts(folder, folders, pace, storm)) as bursts:
                async for _ in bursts:
                    is_there = True
                    yield
                    blind.sees()
        except (FileNotFoundError, NotADirectoryError):  # also one of its folders, since listed
            if is_there:
                yield
            is_there = False
            await asyncio.sleep(pace.tick / 2)  # nothing tells when a path comes into being
        except (OSError, RuntimeError) as error:
            yield
            async with aclosing(blind.polls(error)) as polls:
                async for _ in polls:
                    yield


async def _bursts(
    folder: Path, folders: Folders, pace: Pace, storm: "_Storm"
) -> AsyncGenerator[None, None]:
    """One watch over these folders; ends when they are no longer all, or not the same."""
    due = 0.0  # what happened before the watch began is found by a look of its own
    async with aclosing(_batches(folders, pace)) as batches:
        async for batch in batches:
            now = time.monotonic()
            urgent = len(batch) > FLOOD or any(concerns(folder, path) for _, path in batch)
            at_once = urgent and storm.begins(now)
            if urgent and due:
                due = storm.due(now)
            elif batch:
                due = min(due, now + pace.doubt)
            late = now >= due
            if at_once or late:
                due = now + pace.again if urgent else float("inf")
                storm.told(now)
                yield
            moved = identity_of(folder) != folders[str(folder)]
            doubtful = late or moved or _is_rebuilt(folders, batch)
            if doubtful and await asyncio.to_thread(folders_of, folder) != folders:
                return


def _is_rebuilt(folders: Folders, batch: set[FileChange]) -> bool:
    """Whether a folder may have come or gone."""
    return len(batch) > FLOOD or any(
        path in folders or (change is not Change.modified and Path(path).is_dir())
        for change, path in batch
    )


async def _batches(folders: Folders, pace: Pace) -> AsyncGenerator[set[FileChange], None]:
    """What the library tells, from a thread of its own: changes, or none after each tick."""
    stop = threading.Event()
    batches = watch(
        *folders,
        watch_filter=None,
        debounce=round(pace.step * 1000),
        step=round(pace.step * 1000),
        stop_event=stop,
        rust_timeout=round(pace.tick * 1000),
        yield_on_timeout=True,
        force_polling=False,
        recursive=False,
        ignore_permission_denied=False,
    )
    loop = asyncio.get_running_loop()
    with closing(batches), ThreadPoolExecutor(1, "watch") as thread:
        try:
            while (batch := await loop.run_in_executor(thread, _next, batches)) is not None:
                yield batch
        finally:
            stop.set()  # leaving the block then waits for the thread: one step at most


def _next(batches: Generator[set[FileChange], None, None]) -> set[FileChange] | None:
    return next(batches, None)


class _Storm:
    """Edits that follow each other closely, of which most need no look of their own."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._bursts = 0
        self._last = self._told = float("-inf")

    def begins(self, now: float) -> bool:
        """Take in a burst; whether it is one of the first, which may be all of a save."""
        self._bursts = self._bursts + 1 if now - self._last <= self._pace.calm else 1
        self._last = now
        return self._bursts <= _SAVE

    def due(self, now: float) -> float:
        """When the look after this burst is due."""
        return min(now + self._pace.again, self._told + self._pace.storm)

    def told(self, now: float) -> None:
        """A look was asked for."""
        self._told = now


class _Restful:
    """Pauses that grow while bursts follow each other closely: a storm is a few looks."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._pause = 0.0
        self._rested = float("-inf")

    async def rest(self) -> None:
        """Wait before the next burst may be told."""
        pace, now = self._pace, time.monotonic()
        if now - self._rested > pace.calm:
            self._pause = 0.0
        await asyncio.sleep(self._pause)
        self._pause = min(max(pace.shortest, 2 * self._pause), pace.longest)
        self._rested = time.monotonic()


class _Blindness:
    """What is done when nothing can be watched."""

    def __init__(self, folder: Path, warn: Callable[[str], None], pace: Pace) -> None:
        self._folder = folder
        self._warn = warn
        self._pace = pace
        self._told = False
        self._broke_at = float("-inf")

    def sees(self) -> None:
        """A watch works."""
        if self._told:
            self._told = False
            self._warn(f"watching {self._folder} again")

    async def polls(self, error: Exception) -> AsyncGenerator[None, None]:
        """Nothing the first time, then a look every few seconds until a watch is tried again."""
        again, self._broke_at = time.monotonic() - self._broke_at, time.monotonic()
        if again > self._pace.retry:
            return
        if not self._told:
            self._told = True
            self._warn(_reason(self._folder, error, self._pace))
        until = time.monotonic() + self._pace.retry
        while time.monotonic() < until:
            await asyncio.sleep(self._pace.poll)
            yield
        self._broke_at = time.monotonic()


def _reason(folder: Path, error: Exception, pace: Pace) -> str:
    """The first words of the library's message; what follows them is a value of its own."""
    why = str(error).partition(' about ["')[0].partition("\n")[0]
    hint = "; raise fs.inotify.max_user_watches" if "limit reached" in why else ""
    hint = "; raise fs.inotify.max_user_instances" if "Too many open files" in why else hint
    return f"cannot watch {folder} ({why}): it is looked at every {pace.poll:g} s{hint}"
