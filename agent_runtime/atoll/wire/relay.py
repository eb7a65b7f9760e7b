"""What an agent that runs elsewhere, as a job, and its relay on the fleet's machine agree on.

Each connection to the agent begins with a greeting that shows the job's key; what
follows is what a client sends, byte by byte. A relay that greets so also asks for
the pulse, which takes the place of the channel that a local agent has.
"""

from msgspec import Struct

KEY = "ATOLL_RELAY_KEY"
"""The variable with the job's own key."""
FRONT = "ATOLL_RELAY_FRONT"
"""The variable with the address that clients come to, and the name of its machine."""
PULSE = "/relay/pulse"
LONELY = 120.0
"""Seconds without a question for its pulse after which an agent ends: nobody relays to it."""


class Beat(Struct, frozen=True):
    """The answer to a question for the pulse.

    `idle` is how many seconds ago the last request was, None for never: the clocks
    of two machines have nothing in common.
    """

    in_flight: int
    idle: float | None


def greeting_of(key: str) -> bytes:
    """How a connection begins."""
    return f"ATOLL-RELAY {key}\r\n".encode()
