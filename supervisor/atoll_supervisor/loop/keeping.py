"""Keeps a keeper at hand: takes over the one there is, and replaces one that is lost."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from atoll_supervisor.keeper.protocol import Leave
from atoll_supervisor.loop.fleet_loop import FleetLoop
from atoll_supervisor.loop.hands import KEEPER_LOST
from atoll_supervisor.loop.runtime import Runtime
from atoll_supervisor.shell.keepers import NoKeeper, Reached, reap

DEATH_LIMIT = 5.0
"""Seconds that a keeper and its processes have to be gone, once it was told to leave or is lost:
the kernel kills them with it."""
AGAIN = 1.0
"""Seconds between two tries to have a keeper."""

Reach = Callable[[], Awaitable[Reached]]


class Keeping:
    """The daemon's bond to its keeper."""

    def __init__(
        self, fleet: FleetLoop, runtime: Runtime, reach: Reach, warn: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._runtime = runtime
        self._reach = reach
        self._warn = warn
        self._lost = asyncio.Event()
        self._leaving = False
        self._keeper: Reached | None = None
        self._pidfd = -1

    def begin(self, keeper: Reached) -> None:
        """Hear everything that this keeper tells; what it had when it was reached is known."""
        self._let_go()
        self._keeper = keeper
        with suppress(OSError):
            self._pidfd = os.pidfd_open(keeper.pid)
        keeper.link.attend(self._fleet.hands.told, self._lost.set)
        self._runtime.ensure()

    async def run(self) -> None:
        """Find the keeper again, or another one, whenever the link has ended; until cancelled."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            self._fleet.hands.lost()
            if self._leaving:
                await self._bury()
            else:
                await self._go_on(await self._find())

    async def leave(self) -> None:
        """End the keeper, by force where it does not go; every unit has ended before."""
        self._leaving = True
        self._fleet.hands.send(Leave())
        await self._bury_keeper()
        self.kill()

    def kill(self) -> None:
        """End the keeper at once, and by that every unit: the kernel kills them with it.

        For one that is stopped (SIGSTOP) or hangs, and so obeys nothing.
        """
        self._leaving = True
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the keeper, which goes on with all it has."""
        if self._keeper is not None:
            self._keeper.link.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pidfd = -1

    async def _find(self) -> Reached:
        while True:
            try:
                return await self._reach()
            except NoKeeper as error:
                self._warn(str(error))
                await self._bury()
                await asyncio.sleep(AGAIN)

    async def _go_on(self, found: Reached) -> None:
        if self._keeper is not None and found.pid == self._keeper.pid and not found.fresh:
            self._fleet.hands.go_on(found.link, found.states)
            self.begin(found)
        else:
            self._warn(f"{KEEPER_LOST}; a new one holds the sockets (pid {found.pid})")
            await self._bury()
            self._fleet.hands.link_to(found.link)
            self.begin(found)
            self._fleet.attached()
        self._fleet.regained()

    async def _bury(self) -> None:
        """The keeper is dead, and the kernel kills its processes with it: wait for that."""
        await gone(self._fleet.hands.pids)
        await self._bury_keeper()
        self._fleet.hands.bury()

    async def _bury_keeper(self) -> None:
        if self._keeper is not None:
            await gone((self._keeper.pid,))
            reap(self._keeper.pid)


async def gone(pids: Iterable[int]) -> None:
    """Return when these processes are gone, or have had the time to be."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DEATH_LIMIT):
            for pid in pids:
                await _end_of(pid)


async def _end_of(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(watched, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(watched)
        os.close(watched)


def _settle(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
