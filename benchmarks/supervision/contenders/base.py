"""What the measurements ask of a supervisor."""

import asyncio
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from benchmarks.supervision.processes import (
    Identity,
    alive,
    descendants,
    identity,
    is_alive,
    kill,
    variables,
    words,
)
from benchmarks.supervision.units import Unit

PATIENCE = 120.0
"""Seconds that one command of a supervisor may take."""


class Unhealthy(Exception):
    """A supervisor that does not do its work; its part of the table stays empty."""


class Ran(NamedTuple):
    """A command's exit code and what it printed."""

    code: int
    text: str


class Contender(ABC):
    """A supervisor with its units, in a folder of its own.

    `label` is how the tables call it. `holds` tells that it holds the sockets,
    so that its restart command promises to lose nothing.
    """

    label: str
    holds: bool = False

    def __init__(self, place: Path, units: Sequence[Unit]) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.units = units
        self.main: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The supervisor's own process, in the foreground."""

    @abstractmethod
    async def restart(self, name: str) -> None:
        """Its gentlest restart of one unit."""

    @abstractmethod
    async def stop(self, name: str) -> None:
        """Stop one unit."""

    @abstractmethod
    async def start_all(self) -> None:
        """Start all units of a supervisor that runs."""

    @abstractmethod
    async def stop_all(self) -> None:
        """Stop all units; the supervisor itself goes on."""

    @abstractmethod
    async def known(self) -> dict[str, int]:
        """The pid of every unit that it believes to run."""

    async def start(self) -> None:
        """Start the supervisor and with it all units, without waiting for them."""
        self.launch()

    async def shut_down(self) -> None:
        """End the supervisor as an operator would; returns when its process is gone."""
        if self.main is not None and self.main.poll() is None:
            self.main.send_signal(signal.SIGTERM)
        await self.until_gone()

    def own(self) -> dict[str, int]:
        """The supervisor's own processes by role."""
        return {"daemon": self.main.pid} if self.main is not None else {}

    async def kill_itself(self) -> None:
        """kill -9 of the deciding process."""
        if self.main is not None:
            self.main.kill()
            await self.until_gone()

    def launch(self) -> None:
        """Start `command` with its output in a file."""
        with (self.place / "supervisor.log").open("ab") as log:
            self.main = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                cwd=self.place,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """A small environment, the same for all: no Ollama is found by accident."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "LANG": "C.UTF-8",
            "ATOLL_DEFAULT_LLM": "demo",
            "ATOLL_STATE_DIR": str(self.place / "state"),
            "XDG_RUNTIME_DIR": str(self.place),
        }

    async def run(self, *words: str) -> Ran:
        """Run a command of the supervisor's to its end, without blocking the client.

        Its output goes to a file: a daemon that it leaves behind would keep a pipe open.
        """
        with TemporaryFile() as output:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(),
                cwd=self.place,
            )
            try:
                async with asyncio.timeout(PATIENCE):
                    code = await process.wait()
            except TimeoutError:
                raise Unhealthy(f"{self.label}: {words[-2:]} took over {PATIENCE:.0f} s") from None
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
            output.seek(0)
            return Ran(code, output.read().decode(errors="replace"))

    async def until_gone(self, limit: float = 60.0) -> None:
        """Wait for the supervisor's process; kill it when it does not go."""
        if self.main is None:
            return
        try:
            async with asyncio.timeout(limit):
                while self.main.poll() is None:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.main.kill()
            self.main.wait(10)

    def unit(self, name: str) -> Unit:
        """The unit of that name."""
        return next(unit for unit in self.units if unit.name == name)

    def sweep(self) -> int:
        """End what the supervisor left behind: all that has its home; how many there were."""
        below = descendants(os.getpid())
        found = alive(who for pid in below if self.owns(pid) and (who := identity(pid)))
        return sum(map(kill, found))

    def owns(self, pid: int) -> bool:
        """Whether a process has this run's folder as its home, or in its command line.

        A fork that shows a title of its own has no readable environment.
        """
        home = str(self.place)
        return variables(pid).get("HOME") == home or f"{home}/" in " ".join(words(pid))


async def until_dead(who: Identity, limit: float = 10.0) -> None:
    """SIGKILL a process that is no child of ours and wait until it is gone."""
    kill(who)
    async with asyncio.timeout(limit):
        while is_alive(who):
            await asyncio.sleep(0.005)
