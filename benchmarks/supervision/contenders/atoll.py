"""ATOLL: as installed (forked agents), and with an interpreter for each agent."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from benchmarks.supervision import client
from benchmarks.supervision.contenders.base import Contender, Unhealthy
from benchmarks.supervision.history import Event
from benchmarks.supervision.processes import descendants, words
from benchmarks.supervision.units import Unit

DAEMON = (sys.executable, "-m", "atoll_supervisor")
ROLES = {"keeper": "keeper/__main__.py", "template": "atoll.template"}
"""What the command lines of the supervisor's other processes hold."""


class Row(msgspec.Struct, frozen=True):
    """What is needed of a row of `GET /api/v1/agents`."""

    slug: str
    status: str
    phase: str
    port: int | None = None
    pid: int | None = None
    reason: str | None = None
    restarts: int = 0


class Rows(msgspec.Struct, frozen=True):
    """The answer of `GET /api/v1/agents`."""

    agents: list[Row]


class Atoll(Contender):
    """`atoll up` over a folder of agents; `place/agents` holds them."""

    label = "atoll"
    holds = True
    deployment = ""

    def __init__(self, place: Path, units: Sequence[Unit], api_port: int, base_port: int) -> None:
        super().__init__(place, units)
        self.api_port = api_port
        self._base_port = base_port

    def command(self) -> list[str]:
        return [*DAEMON, "up"]

    async def restart(self, name: str) -> None:
        await self.ctl("restart", name)

    async def stop(self, name: str) -> None:
        await self.ctl("stop", name)

    async def start_all(self) -> None:
        await self.ctl("start", "--all")

    async def stop_all(self) -> None:
        await self.ctl("stop", "--all")

    async def known(self) -> dict[str, int]:
        return {
            row.slug: row.pid for row in await self.rows() if row.pid and row.phase == "running"
        }

    async def rows(self) -> list[Row]:
        """The fleet as the management API lists it; none while it does not answer."""
        answer = await client.get(self.api_port, "/api/v1/agents", 5.0)
        if answer.kind != "ok":
            return []
        return msgspec.json.decode(answer.body, type=Rows).agents

    async def events(self) -> list[Event]:
        """What the daemon has recorded, oldest first."""
        text = await self.ctl("events", "--json", "--tail", "10000")
        return [msgspec.json.decode(line, type=Event) for line in text.splitlines()]

    async def until_answering(self, limit: float = 60.0) -> bool:
        """Whether the management API answers within `limit` seconds."""
        return await client.until_healthy(self.api_port, limit=limit) is not None

    async def shut_down(self) -> None:
        """As an operator would; returns when keeper and template are gone too."""
        await super().shut_down()
        for _ in range(500):
            if not self.own():
                return
            await asyncio.sleep(0.02)

    def own(self) -> dict[str, int]:
        roles = {"daemon": self.main.pid} if self.main and self.main.poll() is None else {}
        for pid in descendants(os.getpid()):
            command = " ".join(words(pid))
            role = next((role for role, sign in ROLES.items() if sign in command), "")
            if role and self.owns(pid):
                roles[role] = pid
        return roles

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "ATOLL_API_PORT": str(self.api_port),
            "ATOLL_BASE_PORT": str(self._base_port),
            "ATOLL_AGENTS_DIR": str(self.place / "agents"),
        }

    async def ctl(self, *arguments: str) -> str:
        """Run a command of `atoll`; raises Unhealthy with its words when it fails."""
        ran = await self.run(*DAEMON, *arguments)
        if ran.code:
            words = " ".join(ran.text.split()) or "no word"
            raise Unhealthy(f"atoll {' '.join(arguments)}: exit {ran.code}: {words[-300:]}")
        return ran.text


class AtollExec(Atoll):
    """Agents with `spawn = "exec"`."""

    label = "atoll-exec"
    deployment = 'spawn = "exec"\n'
