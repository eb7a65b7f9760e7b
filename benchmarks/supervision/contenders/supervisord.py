"""supervisord: default settings but `autorestart=true`."""

import shlex
from pathlib import Path

from benchmarks.supervision.contenders.base import Contender
from benchmarks.supervision.install import Tools
from benchmarks.supervision.units import Unit

HEAD = """\
[supervisord]
logfile={place}/supervisord.log
pidfile={place}/supervisord.pid
[unix_http_server]
file={place}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{place}/s.sock
"""
PROGRAM = """\
[program:{name}]
command={command}
directory={folder}
autorestart=true
"""


class Supervisord(Contender):
    """Its restart is stop, then start."""

    label = "supervisord"

    def __init__(self, place: Path, units: list[Unit], tools: Tools) -> None:
        super().__init__(place, units)
        self._tools = tools
        self._config = place / "supervisord.conf"
        self._config.write_text(HEAD.format(place=place) + "".join(map(_program, units)))

    def command(self) -> list[str]:
        return [self._tools.program("supervisord"), "-n", "-c", str(self._config)]

    async def restart(self, name: str) -> None:
        await self._ctl("restart", name)

    async def stop(self, name: str) -> None:
        await self._ctl("stop", name)

    async def start_all(self) -> None:
        await self._ctl("start", "all")

    async def stop_all(self) -> None:
        await self._ctl("stop", "all")

    async def known(self) -> dict[str, int]:
        lines = (line.split() for line in (await self._ctl("status")).splitlines())
        return {
            words[0]: int(words[3].rstrip(","))
            for words in lines
            if len(words) > 3 and words[1] == "RUNNING"
        }

    async def _ctl(self, *words: str) -> str:
        ctl = self._tools.program("supervisorctl")
        return (await self.run(ctl, "-c", str(self._config), *words)).text


def _program(unit: Unit) -> str:
    command = shlex.join(unit.argv).replace("%", "%%")
    return PROGRAM.format(name=unit.name, command=command, folder=unit.folder)
