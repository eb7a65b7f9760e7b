"""Which agent of the fleet a table of `[sub_agents]` means now. Pure.

Of several with a capability: those that run before those that have to be woken or
waited for, then the least busy one, then the first by name. Never one that waits
for the caller's own answer.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from atoll.config.manifest import SubAgent
from atoll.config.names import slug_of, without_tag
from atoll.core.hops import Hop, Hops, extended
from atoll.errors import AtollError

_ANSWERING = ("discovered", "starting", "running")


class NoChild(AtollError):
    """There is nobody to ask; says what mends it."""

    code = "no_child"
    status = 502
    who = "agent"


class Seen(Struct, frozen=True, kw_only=True):
    """An agent as the daemon tells of it in `GET /api/v1/agents`."""

    slug: str
    status: str
    phase: str
    url: str | None = None
    reason: str = ""
    description: str = ""
    capabilities: tuple[str, ...] = ()
    in_flight: int | None = None


class Asker(Struct, frozen=True):
    """Who asks: the way to it, and the realm in which agents are of its fleet."""

    hops: Hops
    realm: str


def chosen(child: SubAgent, rows: Sequence[Seen], asker: Asker, busy: Mapping[str, int]) -> Seen:
    """The agent that is to be asked; `busy` are the asker's own calls under way, by slug.

    Raises NoChild where there is none that could answer, and GoesRound where
    there are only agents that the delegation came through.
    """
    meant = meaning(child, rows)
    if not meant:
        raise NoChild(_nobody(child, rows))
    free = [row for row in meant if Hop(row.slug, asker.realm) not in asker.hops]
    if not free:
        extended(asker.hops, Hop(meant[0].slug, asker.realm))  # raises, with the path
    able = [row for row in free if row.status in _ANSWERING and row.url]
    if not able:
        raise NoChild(_at_rest(free[0]))
    return min(able, key=lambda row: (row.phase != "running", _load(row, busy), row.slug))


def meaning(child: SubAgent, rows: Sequence[Seen]) -> list[Seen]:
    """The agents that the table may mean, the same ones each time and by name."""
    if child.agent:
        slug = slug_of(without_tag(child.agent))
        return [row for row in rows if row.slug == slug]
    able = (row for row in rows if child.capability in row.capabilities)
    return sorted(able, key=lambda row: row.slug)


def _load(row: Seen, busy: Mapping[str, int]) -> int:
    return max(row.in_flight or 0, busy.get(row.slug, 0))


def _nobody(child: SubAgent, rows: Sequence[Seen]) -> str:
    if child.agent:
        have = ", ".join(sorted(row.slug for row in rows)) or "none at all"
        return f"no agent of this fleet is called {child.agent!r}; it has {have}"
    have = ", ".join(sorted({word for row in rows for word in row.capabilities})) or "none"
    return f"no agent of this fleet has the capability {child.capability!r}; they have {have}"


def _at_rest(row: Seen) -> str:
    reason = row.reason.partition("\n")[0]
    if row.phase == "stopped":
        return f"agent '{row.slug}' is stopped; `atoll start {row.slug}` starts it"
    if row.phase == "invalid":
        return f"the manifest of agent '{row.slug}' is wrong: {reason}"
    return f"agent '{row.slug}' cannot answer, it is {row.phase}: {reason}; see `atoll ps`"
