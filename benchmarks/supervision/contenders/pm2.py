"""pm2: default settings but `vizion` and `pmx` off and no interpreter of its own."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.supervision.contenders.base import Contender, Ran, until_dead
from benchmarks.supervision.install import Tools
from benchmarks.supervision.processes import identity, is_alive
from benchmarks.supervision.units import Unit


class Pm2(Contender):
    """Its restart is `reload`, which for a program that is not Node is a restart."""

    label = "pm2"

    def __init__(self, place: Path, units: Sequence[Unit], tools: Tools) -> None:
        super().__init__(place, units)
        self._pm2 = str(tools.pm2)
        self._config = place / "ecosystem.json"
        self._config.write_text(json.dumps({"apps": [_app(unit) for unit in units]}))

    def command(self) -> list[str]:
        return [self._pm2, "start", str(self._config)]

    async def start(self) -> None:
        await self.run(*self.command())

    async def restart(self, name: str) -> None:
        await self._ctl("reload", name)

    async def stop(self, name: str) -> None:
        await self._ctl("stop", name)

    async def start_all(self) -> None:
        await self._ctl("start", "all")

    async def stop_all(self) -> None:
        await self._ctl("stop", "all")

    async def known(self) -> dict[str, int]:
        text = (await self._ctl("jlist")).text
        with suppress(ValueError):
            apps = json.loads(text[text.index("[{") :] if "[{" in text else "[]")
            return {str(app["name"]): int(app["pid"]) for app in apps if app.get("pid")}
        return {}

    async def shut_down(self) -> None:
        await self._ctl("kill")

    def own(self) -> dict[str, int]:
        with suppress(OSError, ValueError):
            pid = int((self.place / ".pm2/pm2.pid").read_text())
            who = identity(pid)
            if who is not None and is_alive(who):
                return {"daemon": pid}
        return {}

    async def kill_itself(self) -> None:
        who = identity(self.own().get("daemon", 0))
        if who is not None:
            await until_dead(who)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PM2_HOME": str(self.place / ".pm2")}

    async def _ctl(self, *words: str) -> Ran:
        return await self.run(self._pm2, *words)


def _app(unit: Unit) -> dict[str, object]:
    program, *arguments = unit.argv
    return {
        "name": unit.name,
        "script": program,
        "args": arguments,
        "interpreter": "none",
        "cwd": str(unit.folder),
        "autorestart": True,
        "vizion": False,
        "pmx": False,
    }
