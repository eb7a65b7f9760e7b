"""circus: default settings, with the child's own port or with a socket that circus holds."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmarks.supervision.contenders.base import Contender
from benchmarks.supervision.install import Tools
from benchmarks.supervision.units import Unit

HEAD = """\
[circus]
endpoint = ipc://{place}/e
pubsub_endpoint = ipc://{place}/p
"""
WATCHER = """\
[watcher:{name}]
cmd = {command}
working_dir = {folder}
copy_env = True
{more}
"""
SOCKET = """\
[socket:{name}]
host = 127.0.0.1
port = {port}
backlog = 2048
"""
AS_THREE = 'exec 3<&$0; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
"""The descriptor whose number is $0 becomes number 3, as sd_listen_fds(3) wants it (bash)."""


class Circus(Contender):
    """Its restart is stop, then start; with held sockets its `reload`."""

    label = "circus"

    def __init__(self, place: Path, units: Sequence[Unit], tools: Tools) -> None:
        super().__init__(place, units)
        self._tools = tools
        self._config = place / "circus.ini"
        parts = [HEAD.format(place=place), *map(self.watcher, units)]
        self._config.write_text("\n".join(parts))

    def command(self) -> list[str]:
        return [self._tools.program("circusd"), "--log-level", "warning", str(self._config)]

    def watcher(self, unit: Unit) -> str:
        """The unit's part of the configuration."""
        command = shlex.join(unit.argv)
        return WATCHER.format(name=unit.name, command=command, folder=unit.folder, more="")

    async def restart(self, name: str) -> None:
        await self.ctl("restart", name, "--waiting")

    async def stop(self, name: str) -> None:
        await self.ctl("stop", name, "--waiting")

    async def start_all(self) -> None:
        await self.ctl("start", "--waiting")

    async def stop_all(self) -> None:
        await self.ctl("stop", "--waiting")

    async def known(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for unit in self.units:
            text = await self.ctl("--json", "list", unit.name)
            pids = _pids(text)
            if pids:
                found[unit.name] = pids[0]
        return found

    async def ctl(self, *words: str) -> str:
        """Ask circusd."""
        endpoint = f"ipc://{self.place}/e"
        ctl = self._tools.program("circusctl")
        return (await self.run(ctl, "--endpoint", endpoint, "--timeout", "60", *words)).text


class CircusSock(Circus):
    """circus holding the listening sockets."""

    label = "circus-sock"
    holds = True

    def watcher(self, unit: Unit) -> str:
        shim = shlex.join(["bash", "-c", AS_THREE])
        command = f"{shim} $(circus.sockets.{unit.name}) {shlex.join(unit.argv)}"
        socket = SOCKET.format(name=unit.name, port=unit.port)
        more = "use_sockets = True\n" + socket
        return WATCHER.format(name=unit.name, command=command, folder=unit.folder, more=more)

    async def restart(self, name: str) -> None:
        await self.ctl("reload", name, "--waiting")


def _pids(text: str) -> list[int]:
    try:
        answer = json.loads(text)
    except ValueError:
        return []
    return [int(pid) for pid in answer.get("pids", [])]
