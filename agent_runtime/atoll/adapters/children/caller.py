"""What the tools of children need of the turn in which they are called."""

from typing import Protocol

from atoll.core.papers import Journey
from atoll.wire.events import Below, Warning
from atoll.wire.messages import Usage


class Caller(Protocol):
    """The turn in which a child is called: what it hands down, and what comes back up."""

    @property
    def journey(self) -> Journey:
        """The way to this agent, itself last, and what of its budget one call may use."""
        ...

    async def say(self, event: Below | Warning) -> None:
        """Tell this event of the turn now; waits while the client reads slowly."""
        ...

    def spend(self, usage: Usage, calls: int) -> None:
        """Count what was used below: in the turn's usage, and against its budget."""
        ...
