"""What an engine saw of a service; the closed union that `machine.step` takes."""

from typing import Literal

from msgspec import Struct

End = Literal["completed", "failed", "cancelled"]


class Queued(Struct, frozen=True):
    """It waits for its turn or for room."""

    reason: str = ""
    state: str = ""


class Building(Struct, frozen=True):
    """Its container image is being built."""

    state: str = ""


class Up(Struct, frozen=True, kw_only=True):
    """Its process runs; `answers` tells whether its server does. `host` is where it is reached."""

    answers: bool
    reason: str = ""
    state: str = ""
    node: str = ""
    host: str = ""
    port: int | None = None
    restarts: int = 0


class Kept(Struct, frozen=True):
    """It is between two states; what it was last holds until the next is known."""

    state: str = ""


class Ended(Struct, frozen=True):
    """It is over, and how."""

    status: End
    reason: str = ""
    state: str = ""


class Tick(Struct, frozen=True):
    """Time has passed."""


Evidence = Queued | Building | Up | Kept | Ended | Tick
