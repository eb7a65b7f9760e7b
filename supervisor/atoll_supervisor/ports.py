"""What the daemon's rooms need from each other, as small protocols."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from atoll_supervisor.core.row import Row


class Fleet(Protocol):
    """The fleet as the management API and the console see it."""

    @property
    def started_at(self) -> float:
        """When the daemon started, seconds since the epoch."""
        ...

    def rows(self) -> Sequence[Row]:
        """Every agent, sorted by slug; a snapshot that costs no system call."""
        ...

    def row(self, name: str) -> Row:
        """One agent by any spelling of its name; raises NotFound."""
        ...

    async def start(self, name: str, *, wait: bool = True) -> Row:
        """Start it and answer when it serves, or has failed; raises NotFound."""
        ...

    async def stop(self, name: str, *, wait: bool = True) -> Row:
        """Stop it and answer when its processes are gone; raises NotFound."""
        ...

    async def restart(self, name: str, *, wait: bool = True) -> Row:
        """Stop and start it, holding its socket meanwhile; raises NotFound."""
        ...

    def log_file(self, name: str) -> Path:
        """The live log file of a unit (rotated ones stand beside it); raises NotFound."""
        ...
