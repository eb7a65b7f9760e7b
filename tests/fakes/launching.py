"""Starting `child.py` through the real Launcher, and waiting for what it reports."""

import asyncio
import gc
import json
import os
import socket
import sys
from pathlib import Path

from atoll_supervisor.shell.output import Pump
from atoll_supervisor.shell.proc import stat_of
from atoll_supervisor.shell.spawn import Child, Exited, Launcher, LaunchSpec, Notice, Ready
from atoll_supervisor.shell.tree import strays

CHILD = str(Path(__file__).with_name("child.py"))
LIMIT = 20.0


class Unit:
    """One unit: starts children with options of `child.py` and collects their notices."""

    def __init__(self, folder: Path, launcher: Launcher, name: str = "unit") -> None:
        self.launcher = launcher
        self.name = name
        self.folder = folder
        self.pump = Pump(folder / f"{name}.log")
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()
        self.children: list[Child] = []
        self._generation = 0

    def start(self, *options: str, listen: socket.socket | None = None) -> Child:
        argv = (sys.executable, "-S", CHILD, *options)
        return self.run(*argv, listen=listen)

    def run(self, *argv: str, listen: socket.socket | None = None) -> Child:
        self._generation += 1
        env = {"PATH": os.environ["PATH"]}
        spec = LaunchSpec(
            unit=self.name, generation=self._generation, argv=argv, env=env, cwd=str(self.folder)
        )
        child = self.launcher.launch(spec, listen, self.pump, self.notices.put_nowait)
        self.children.append(child)
        return child

    async def end(self) -> None:
        """Kill what still runs and leave no process and no descriptor behind."""
        for child in self.children:
            child.kill_tree()
        await until(lambda: not any(child.alive for child in self.children))
        self.launcher.kill_strays()
        await until(lambda: not self.launcher.reap_orphans() and not strays(self.launcher.pids))
        self.pump.close()

    async def next(self) -> Notice:
        return await asyncio.wait_for(self.notices.get(), LIMIT)

    async def ready(self) -> None:
        notice = await self.next()
        assert isinstance(notice, Ready), f"{notice}: {self.pump.last_errors}"

    async def exited(self) -> Exited:
        notice = await self.next()
        while not isinstance(notice, Exited):
            notice = await self.next()
        return notice

    def log(self) -> list[str]:
        """The text of each line in the log, without time and stream."""
        path = self.pump.file.path
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [line.split(" ", 2)[2] for line in lines]


async def seen_by_child(path: Path) -> dict:
    """What `--report` wrote, once it is there."""
    await until(path.exists)
    return json.loads(path.read_text())


async def until(true, limit: float = LIMIT) -> None:
    """Wait until something becomes true, or fail."""
    async with asyncio.timeout(limit):
        while not true():
            await asyncio.sleep(0.01)


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that its parent has not buried yet."""
    stat = stat_of(pid)
    return stat is None or stat.state in "ZX"


def open_fds() -> set[str]:
    """Our descriptors' numbers; what earlier tests dropped is closed first, not meanwhile."""
    gc.collect()
    return {path.name for path in Path("/proc/self/fd").iterdir()}
