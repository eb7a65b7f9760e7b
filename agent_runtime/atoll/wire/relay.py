"""What an agent that runs elsewhere, as a job, and its relay on the fleet's machine agree on.

Each connection to the agent begins with a greeting that shows the job's key. After a
client's greeting follows what the client sends, byte by byte. On connections of its own
the relay asks for the pulse, which takes the place of the channel that a local agent
has, and tells the agent to leave, which takes that of SIGTERM.
"""

from typing import Literal

from msgspec import Struct

KEY = "ATOLL_RELAY_KEY"
"""The variable with the job's own key."""
FRONT = "ATOLL_RELAY_FRONT"
"""The variable with the address that clients come to, and the name of its machine."""
PULSE, LEAVE = "/relay/pulse", "/relay/leave"
"""Paths on the relay's own connections; on a client's there is nothing."""
LONELY = 300.0
"""Seconds without a question for its pulse after which an agent ends: nobody relays to it.
The fleet's machine may boot meanwhile."""


class Beat(Struct, frozen=True):
    """The answer to a question for the pulse.

    `idle` is how many seconds ago the last request was, None for never: the clocks
    of two machines have nothing in common. One that is `leaving` takes what comes
    for a moment yet, in which its relay stops to bring it more.
    """

    in_flight: int
    idle: float | None
    leaving: bool = False


Whose = Literal["client", "relay"]


def greeting_of(key: str, whose: Whose) -> bytes:
    """How a connection begins; of one length for both."""
    return f"ATOLL {whose:>6} {key}\r\n".encode()
