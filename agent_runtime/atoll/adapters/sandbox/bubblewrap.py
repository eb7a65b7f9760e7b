"""The CodeEngine over bubblewrap: one sandbox for each namespace, one made beforehand."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from atoll.adapters.sandbox import tree
from atoll.adapters.sandbox.command import Limits
from atoll.adapters.sandbox.interpreter import find_interpreter
from atoll.adapters.sandbox.process import Setup, Worker, start_worker
from atoll.adapters.sandbox.seccomp import filter_here
from atoll.adapters.sandbox.space import Space
from atoll.adapters.sandbox.watch import Watch
from atoll.errors import AgentError

SPARE_AFTER = 0.2
"""Seconds after which the next sandbox is made: not while the first code of this one runs."""
_NEEDED = ("--disable-userns", "--size", "--ro-bind-data")
_PATH = "/usr/local/bin:/usr/bin:/bin"


def find_setup(limits: Limits, path: str = _PATH) -> Setup:
    """How sandboxes are made here; raises AgentError with the reason and what mends it."""
    found = shutil.which("bwrap", path=path)
    if found is None:
        raise AgentError("bubblewrap is not installed: apt install bubblewrap")
    known = subprocess.run(  # noqa: S603  a program of the system
        [found, "--help"], capture_output=True, text=True, env={}, check=False
    )
    if missing := [word for word in _NEEDED if word not in known.stdout]:
        raise AgentError(
            f"{found} is too old, it lacks {missing[0]}: install bubblewrap 0.8 or newer"
        )
    dropped = os.geteuid() == 0
    if (python := find_interpreter(dropped=dropped)) is None:
        raise AgentError(
            "nobody but root can read this agent's Python, and there is no /usr/bin/python3: "
            "apt install python3"
        )
    return Setup(
        bwrap=Path(found),
        python=python,
        limits=limits,
        filter=filter_here() or b"",
        dropped=dropped,
    )


class Bubblewrap:
    """Makes namespaces; `open_bubblewrap` starts it."""

    name = "bubblewrap"
    language = "There is the standard library, no network, and no file but what is in /tmp."

    def __init__(self, setup: Setup, spare: Worker) -> None:
        self._setup = setup
        self._spare: Worker | None = spare
        self._making: asyncio.Task[None] | None = None
        self._watch = Watch(setup.limits.memory, setup.limits.seconds)

    @property
    def unenforced(self) -> tuple[str, ...]:
        """What is asked for and not held here, in sentences."""
        missing: list[str] = []
        if not self._setup.filter:
            missing.append("system calls are not filtered on this processor")
        if not tree.can_be_seen():
            missing.append("this kernel does not list a process's children: [sandbox] memory_limit")
            missing[-1] += " holds for each process, not for all together"
        return tuple(missing)

    async def open(self) -> Space:
        """An empty namespace; raises AgentError when no sandbox can be made any more."""
        return Space(await self._take(), self._take, self._watch)

    async def close(self) -> None:
        """Give up the sandbox that was made beforehand."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait({self._making})
        if self._spare is not None:
            await self._spare.close()
            self._spare = None

    async def _take(self) -> Worker:
        spare, self._spare = self._spare, None
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
        return spare or await start_worker(self._setup)

    async def _make(self) -> None:
        await asyncio.sleep(SPARE_AFTER)
        try:
            self._spare = await start_worker(self._setup)
        except AgentError:
            return  # whoever needs one tries again, and is told


async def open_bubblewrap(limits: Limits) -> Bubblewrap:
    """The engine with its first sandbox; raises AgentError with the reason where it cannot be."""
    setup = find_setup(limits)
    return Bubblewrap(setup, await start_worker(setup))
