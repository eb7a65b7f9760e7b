"""How a unit's process is made: its command line, its environment, where to ask for its health."""

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from atoll_supervisor.core.agent_job import JobOrder, encoded
from atoll_supervisor.core.services.order import Order
from atoll_supervisor.core.spec import UnitSpec
from atoll_supervisor.keeper.protocol import Launch, Via
from atoll_supervisor.shell.probe import Prober


class Blueprint(Struct, frozen=True, kw_only=True):
    """A unit's specification and what the keeper needs besides.

    An agent has a `manifest`; a model host has the `gguf` it serves on the
    unix `socket`; a service has an `order`, whose places `ours` fill but for its
    port; an agent that is a job of a cluster has a `job`, and its process here is
    the relay. `limits` are those of `keeper.protocol.Launch`.
    """

    spec: UnitSpec
    cwd: Path
    env: Mapping[str, str]
    via: Via = "exec"
    limits: Mapping[str, float] = {}
    manifest: Path | None = None
    gguf: Path | None = None
    socket: Path | None = None
    order: Order | None = None
    job: JobOrder | None = None
    ours: Mapping[str, str] = {}

    @property
    def needs_port(self) -> bool:
        """Whether it has a port of its own."""
        return self.socket is None

    @property
    def is_given_socket(self) -> bool:
        """Whether the keeper holds its socket; a service binds its port itself."""
        return self.needs_port and self.order is None

    def launch(self, generation: int, instance: str, log: Path, port: int | None) -> Launch:
        """The process of one generation; the keeper adds what it passes (`keeper.ground`).

        Its memo is the checksum of the manifest, for the daemon that takes the process over.
        """
        names = {
            "ATOLL_UNIT": self.spec.slug,
            "ATOLL_GENERATION": str(generation),
            "ATOLL_INSTANCE": instance,
        }
        ours = {**self.ours, "port": str(port or 0)}
        return Launch(
            unit=self.spec.slug,
            generation=generation,
            via=self.via,
            argv=self.order.argv(ours) if self.order else self._interpreter(port),
            env={**self.env, **(self.order.env(ours) if self.order else {}), **names},
            cwd=str(self.cwd),
            log=str(log),
            listen=self.is_given_socket,
            limits=dict(self.limits),
            memo=self.spec.checksum,
        )

    def prober(self, host: str, port: int | None, instance: str) -> Prober:
        """Asks this process for its health; only ours tell who answers."""
        if self.order is not None:
            health = self.order.health
            address = (self.ours["host"], port or 0)
            return Prober(address, path=health.path, limit=health.timeout, ours=False)
        if self.socket is not None:
            return Prober(self.socket)
        # A job that outlives its relay tells whose it was at first.
        return Prober((host, port or 0), "" if self.job else instance)

    def _interpreter(self, port: int | None) -> list[str]:
        return [sys.executable, "-m", *self._module(port)]

    def _module(self, port: int | None) -> tuple[str, ...]:
        if self.socket is not None:
            options = ("--socket", str(self.socket), "--name", self.spec.name)
            return ("atoll.modelhost", "--model", str(self.gguf), *options)
        if self.job is not None:
            return ("atoll_supervisor.jobs", encoded(self.job))
        return ("atoll", "--server", "--port", str(port or 0), "--agent", str(self.manifest))
