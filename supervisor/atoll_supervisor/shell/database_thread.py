"""`atoll.db` on a thread of its own: what several rooms keep is written one thing after another.

One thread and one connection, so that there is never a second writer, and a
file that has to be replaced is replaced for all.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from atoll_supervisor.shell.database import Database, Refill

T = TypeVar("T")


class DatabaseThread:
    """The database, for one event loop; opened when it is first used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="atoll.db")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` makes of the database; raises as `Database.use`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._database.use, work)

    def run_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, and everything waits for it."""
        return self._thread.submit(self._database.use, work).result()

    def when_replaced(self, refill: Refill) -> None:
        """As `Database.when_replaced`; `refill` is called on the database's thread."""
        self._thread.submit(self._database.when_replaced, refill).result()

    def take_warnings(self) -> list[str]:
        """What a person should know since this was asked last."""
        return self._database.take_warnings()

    def give_up(self) -> None:
        """Let the thread go without waiting for it."""
        self._thread.shutdown(wait=False)

    async def close(self, limit: float) -> None:
        """Do what is still to be done, for `limit` seconds at most, and close the file."""
        closed = asyncio.wrap_future(self._thread.submit(self._database.close))
        self.give_up()
        await asyncio.wait([closed], timeout=limit)
