"""Which unit listens on which port (DESIGN section 11, "Ports").

A port once given is kept for its slug: across restarts of the unit, the daemon
and the machine, while the unit is stopped, and while its folder is away. A
fixed port is the manifest's and never moves. An automatic one moves on when a
stranger holds it, but never to a port that is another unit's.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct

LAST_PORT = 65535


class Numbers(Struct, frozen=True):
    """The outcome, by slug: its port, the old port of a moved one, or a problem to show."""

    ports: Mapping[str, int]
    moved: Mapping[str, int]
    problems: Mapping[str, str]


def assign(
    wishes: Mapping[str, int],
    known: Mapping[str, int],
    base: int,
    taken: AbstractSet[int],
    last: int = LAST_PORT,
) -> Numbers:
    """Give each slug of `wishes` a port, or a reason why it has none.

    `wishes` maps a slug to its fixed port, or to 0 for an automatic one;
    `known` holds the ports given earlier, also of slugs that are away; `taken`
    are ports that strangers hold. Automatic ports come from `base` to `last`.
    A fixed port that a stranger holds is given all the same: whoever binds it
    sees the holder, and tries again.
    """
    sticky = {
        slug: known[slug]
        for slug in sorted(wishes)
        if not wishes[slug] and base <= known.get(slug, 0) <= last
    }
    stay = {slug: port for slug, port in sticky.items() if port not in taken}
    owners = _owners(wishes, known, stay)
    ports = {slug: port for port, slug in owners.items()}
    homeless = sorted(slug for slug in wishes if slug not in ports)
    free = _free(base, last, owners.keys() | taken, set(known.values()))
    ports |= zip((slug for slug in homeless if not wishes[slug]), free, strict=False)
    return Numbers(
        ports=ports,
        moved={slug: port for slug, port in sticky.items() if ports.get(slug, port) != port},
        problems={
            slug: _problem(wishes[slug], owners, base, last)
            for slug in homeless
            if slug not in ports
        },
    )


def _owners(
    wishes: Mapping[str, int], known: Mapping[str, int], stay: Mapping[str, int]
) -> dict[int, str]:
    """Whose each claimed port is.

    (1) A fixed port stays where it was, (2) an automatic one too: a new folder
    must not take the port of an agent that runs. (3) Other fixed ports go to
    the first by slug.
    """
    fixed = sorted((slug, port) for slug, port in wishes.items() if port)
    old = [(slug, port) for slug, port in fixed if known.get(slug) == port]
    owners: dict[int, str] = {}
    for slug, port in (*old, *stay.items(), *fixed):
        owners.setdefault(port, slug)
    return owners


def _free(base: int, last: int, never: AbstractSet[int], away: AbstractSet[int]) -> Iterator[int]:
    """Free ports in rising order; those kept for slugs that are away come last."""
    yield from (port for port in range(base, last + 1) if port not in never and port not in away)
    yield from (port for port in sorted(away) if base <= port <= last and port not in never)


def _problem(fixed: int, owners: Mapping[int, str], base: int, last: int) -> str:
    if fixed:
        return f"port {fixed} belongs to agent {owners[fixed]!r}: choose another, or 0 for any"
    return f"no port is free between {base} and {last}: free some, or choose another base port"
