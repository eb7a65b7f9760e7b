"""How a unit's process is made: its command line, its environment, where to ask for its health."""

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from atoll_supervisor.core.spec import UnitSpec
from atoll_supervisor.shell.probe import Address
from atoll_supervisor.shell.proc import INSTANCE
from atoll_supervisor.shell.spawn import LaunchSpec


class Blueprint(Struct, frozen=True, kw_only=True):
    """A unit's specification and what the hands need besides.

    An agent has a `manifest`; a model host has the `gguf` it serves on the
    unix `socket`.
    """

    spec: UnitSpec
    cwd: Path
    env: Mapping[str, str]
    manifest: Path | None = None
    gguf: Path | None = None
    socket: Path | None = None

    @property
    def needs_port(self) -> bool:
        """Whether the daemon holds a TCP socket for it."""
        return self.socket is None

    def launch_spec(self, generation: int, instance: str, port: int | None) -> LaunchSpec:
        """The process of one generation."""
        return LaunchSpec(
            unit=self.spec.slug,
            generation=generation,
            argv=(sys.executable, "-m", *self._module(port)),
            env={**self.env, INSTANCE: instance},
            cwd=str(self.cwd),
        )

    def address(self, host: str, port: int | None) -> Address:
        """Where its /health answers."""
        return self.socket if self.socket is not None else (host, port or 0)

    def _module(self, port: int | None) -> tuple[str, ...]:
        if self.socket is not None:
            options = ("--socket", str(self.socket), "--name", self.spec.name)
            return ("atoll.modelhost", "--model", str(self.gguf), *options)
        return ("atoll", "--server", "--port", str(port or 0), "--agent", str(self.manifest))
