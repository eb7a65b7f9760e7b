"""The agents that a delegated turn came through, and why it may go no further. Pure.

A path is bounded in length and holds no agent twice (attacks.md S40). Two fleets
may both have an `assistant`: a hop is a name in a *realm*, and only the same name
in the same realm is the same agent.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from atoll.errors import AtollError, ClientError

MOST = 10
"""Agents in one path, the first one and the last one counted (DESIGN section 6)."""
_HOP = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})@([0-9a-f]{8})")


class BadHops(ClientError):
    """The headers of a delegated call are forged, changed, or no such headers at all."""

    code = "bad_hops"


class GoesRound(AtollError):
    """A delegation would come back to an agent that waits for it, or go too deep."""

    code = "delegation_refused"
    status = 508
    who = "agent"


class Hop(Struct, frozen=True):
    """One agent: its slug, and the realm that it is of."""

    name: str
    realm: str

    def __str__(self) -> str:
        return f"{self.name}@{self.realm}"


Hops = tuple[Hop, ...]


def read_hops(text: str) -> Hops:
    """The agents of a list as `spelled` writes it; raises BadHops."""
    parts = text.split(",")
    found = [match for part in parts if (match := _HOP.fullmatch(part.strip()))]
    if len(found) != len(parts) or len(parts) > MOST:
        raise BadHops(f"the list of agents is not name@realm, at most {MOST} of them")
    return tuple(Hop(match[1], match[2]) for match in found)


def spelled(hops: Sequence[Hop]) -> str:
    """The list as it travels."""
    return ",".join(map(str, hops))


def extended(hops: Hops, to: Hop) -> Hops:
    """The path with one more agent; raises GoesRound, which names the path."""
    if to in hops:
        raise GoesRound(f"refused: the delegation goes round in a circle: {shown((*hops, to))}")
    if len(hops) >= MOST:
        path = shown((*hops, to))
        raise GoesRound(f"refused: a delegation may go through {MOST} agents at most: {path}")
    return (*hops, to)


def shown(hops: Sequence[Hop]) -> str:
    """`coordinator → librarian → coordinator`."""
    return " → ".join(hop.name for hop in hops)
