"""The template that agents are forked from, kept to the runtime as it is on the disk."""

import asyncio
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import atoll
from atoll import __version__
from atoll.errors import AtollError
from atoll_supervisor.keeper.protocol import Preload, Template
from atoll_supervisor.loop.hands import Hands
from atoll_supervisor.shell.environ import child_environment

READY_LIMIT = 60.0
"""Seconds in which a template must have imported everything."""


class RuntimeFailed(AtollError):
    """No template of the new runtime could be had."""

    code = "runtime_failed"


class Runtime:
    """Asks the keeper for templates; one that is ready replaces the one before it."""

    def __init__(self, hands: Hands, log: Path, environ: Mapping[str, str]) -> None:
        self._hands = hands
        self._log = log
        self._env = child_environment(environ, (), {})

    def ensure(self) -> None:
        """Have a template of the code that is on the disk, unless there is one."""
        there = self._hands.template
        if there.stage not in ("starting", "ready") or there.key != key():
            self._preload(there)

    async def renew(self) -> None:
        """Have a new template, and return when agents are forked from it; raises RuntimeFailed."""
        serial = self._preload(self._hands.template)
        try:
            async with asyncio.timeout(READY_LIMIT):
                found = await self._told(serial)
        except TimeoutError:
            message = f"the new runtime is not ready after {READY_LIMIT:g} s"
            raise RuntimeFailed(message) from None
        if found.stage != "ready":
            raise RuntimeFailed(f"the new runtime cannot be loaded: {found.reason}")

    def _preload(self, there: Template) -> int:
        argv = [sys.executable, "-m", "atoll.template"]
        serial = there.serial + 1
        self._hands.send(Preload(serial, key(), argv, self._env, "/", str(self._log)))
        return serial

    async def _told(self, serial: int) -> Template:
        """The state of this template once it is ready or has failed."""
        while True:
            found = self._hands.template
            if found.serial >= serial and found.stage in ("ready", "failed"):
                return found
            self._hands.template_told.clear()
            await self._hands.template_told.wait()


def key() -> str:
    """What the runtime on the disk is known by: its version, and every file's time and size."""
    folder = Path(atoll.__file__).parent
    stats = ((path, path.stat()) for path in sorted(folder.rglob("*.py")))
    text = "\n".join(f"{path} {stat.st_mtime_ns} {stat.st_size}" for path, stat in stats)
    digest = hashlib.sha256(f"{sys.executable}\n{sys.version}\n{text}".encode()).hexdigest()
    return f"{__version__}-{digest[:16]}"
