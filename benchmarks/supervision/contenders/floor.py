"""The floors (see `benchmarks.supervision.floor`) as contenders."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from benchmarks.supervision import floor
from benchmarks.supervision.contenders.base import Contender
from benchmarks.supervision.units import Unit


class FloorPlain(Contender):
    """Each child binds its own port."""

    label = "floor-plain"
    mode = "plain"

    def __init__(self, place: Path, units: Sequence[Unit]) -> None:
        super().__init__(place, units)
        wanted = [{"name": u.name, "port": u.port, "argv": list(u.argv)} for u in units]
        config = {"mode": self.mode, "control": str(place / "c"), "units": wanted}
        self._config = place / "floor.json"
        self._config.write_text(json.dumps(config))

    def command(self) -> list[str]:
        return [sys.executable, str(floor.__file__), str(self._config)]

    async def restart(self, name: str) -> None:
        await self._ask(f"restart {name}")

    async def stop(self, name: str) -> None:
        await self._ask(f"stop {name}")

    async def start_all(self) -> None:
        await self._ask("start")

    async def stop_all(self) -> None:
        await self._ask("stop")

    async def known(self) -> dict[str, int]:
        return await self._ask("list")

    async def _ask(self, line: str) -> dict[str, int]:
        try:
            reader, writer = await asyncio.open_unix_connection(self.place / "c")
        except OSError:
            return {}
        writer.write(line.encode() + b"\n")
        answer = await reader.readline()
        writer.close()
        return msgspec.json.decode(answer, type=dict[str, int])


class FloorSock(FloorPlain):
    """The listening sockets are held."""

    label = "floor-sock"
    mode = "sock"
    holds = True
