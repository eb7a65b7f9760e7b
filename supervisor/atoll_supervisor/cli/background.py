"""A daemon in a session of its own: started, waited for, its fate told.

Imports httpx (through `client`), so it is itself imported late.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from atoll.adapters.private import private_directory
from atoll_supervisor.cli.client import Address, Management
from atoll_supervisor.cli.codes import Exit, Failure
from atoll_supervisor.core.agent_job import IN_QUEUE
from atoll_supervisor.core.answers import Startup
from atoll_supervisor.core.row import Row

POLL = 0.1
"""Seconds between two questions whether the daemon is up."""
_LAST_BYTES = 4096

Alive = Callable[[], None]


class Spawned:
    """A daemon's process that was started here, and what it wrote since."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, begin: int) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log
        self._begin = begin

    def check(self) -> None:
        """Raise Failure with its last words and its exit code when it has ended."""
        code = self._process.poll()
        if code is None:
            return
        exit = Exit(code) if code in list(Exit) and code else Exit.FAILED
        raise Failure(f"the daemon ended at once:\n{self._last_words()}", exit, f"log: {self._log}")

    def _last_words(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(self._begin, self._log.stat().st_size - _LAST_BYTES))
            return log.read().decode(errors="replace").strip()


def spawn(options: Sequence[str], log: Path) -> Spawned:
    """Start `atoll up` with these options, detached from this terminal."""
    private_directory(log.parent)
    # -P: the directory it happens to start in must not supply its modules.
    command = [sys.executable, "-P", "-m", "atoll_supervisor", "up", *options]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    output = os.open(log, flags, 0o600)
    try:
        begin = os.fstat(output).st_size
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        os.close(output)
    return Spawned(process, log, begin)


async def until_up(url: str, pid: int, limit: float, check: Alive) -> Startup:
    """Wait until the daemon `pid` answers at `url` and no agent is on its way up any more.

    `check` raises when there is nothing to wait for. Raises Failure after `limit` seconds.
    """
    try:
        async with asyncio.timeout(limit), Management(Address(url, "")) as daemon:
            while True:
                check()
                if found := await _look(daemon, url, pid):
                    return found
                await asyncio.sleep(POLL)
    except TimeoutError:
        hint = "it goes on starting; `atoll ps` shows how far it is"
        raise Failure(f"the daemon is not up after {limit:g} s", Exit.TIMEOUT, hint) from None


async def _look(daemon: Management, url: str, pid: int) -> Startup | None:
    """The fleet when it is settled; None as long as it is not, or another daemon answers there."""
    try:
        health = await daemon.health()
        rows = await daemon.rows()
    except Failure:
        return None
    settled = health.pid == pid and all(_is_settled(row) for row in rows)
    return Startup(url, pid, rows) if settled else None


def _is_settled(row: Row) -> bool:
    """An agent that pauses between two crashes has shown how it is; its budget may take long.

    So may the queue of a cluster.
    """
    if IN_QUEUE in row.reason:
        return True
    return row.phase == "backoff" or row.status not in ("discovered", "starting")
