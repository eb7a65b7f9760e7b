"""How a unit's process is made: its command line, its environment, where to ask for its health."""

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from atoll_supervisor.core.spec import UnitSpec
from atoll_supervisor.keeper.protocol import Launch, Via
from atoll_supervisor.shell.probe import Address


class Blueprint(Struct, frozen=True, kw_only=True):
    """A unit's specification and what the keeper needs besides.

    An agent has a `manifest`; a model host has the `gguf` it serves on the
    unix `socket`. `limits` are those of `keeper.protocol.Launch`.
    """

    spec: UnitSpec
    cwd: Path
    env: Mapping[str, str]
    via: Via = "exec"
    limits: Mapping[str, float] = {}
    manifest: Path | None = None
    gguf: Path | None = None
    socket: Path | None = None

    @property
    def needs_port(self) -> bool:
        """Whether the keeper holds a TCP socket for it."""
        return self.socket is None

    def launch(self, generation: int, instance: str, log: Path, port: int | None) -> Launch:
        """The process of one generation; the keeper adds what it passes (`keeper.ground`).

        Its memo is the checksum of the manifest, for the daemon that takes the process over.
        """
        names = {
            "ATOLL_UNIT": self.spec.slug,
            "ATOLL_GENERATION": str(generation),
            "ATOLL_INSTANCE": instance,
        }
        return Launch(
            unit=self.spec.slug,
            generation=generation,
            via=self.via,
            argv=[sys.executable, "-m", *self._module(port)],
            env={**self.env, **names},
            cwd=str(self.cwd),
            log=str(log),
            listen=self.needs_port,
            limits=dict(self.limits),
            memo=self.spec.checksum,
        )

    def address(self, host: str, port: int | None) -> Address:
        """Where its /health answers."""
        return self.socket if self.socket is not None else (host, port or 0)

    def _module(self, port: int | None) -> tuple[str, ...]:
        if self.socket is not None:
            options = ("--socket", str(self.socket), "--name", self.spec.name)
            return ("atoll.modelhost", "--model", str(self.gguf), *options)
        return ("atoll", "--server", "--port", str(port or 0), "--agent", str(self.manifest))
