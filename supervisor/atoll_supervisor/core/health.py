"""What probes of a running unit come to: when to ask, and when it counts as hung.

One missed probe is no proof: the machine may have been busy, or the daemon
itself stopped and continued (`faults.md` rows 4, 5 and 15). So a miss only
brings the next probe forward, and some misses in a row are needed.
"""

RECHECK_AFTER = 1.0
"""Seconds until the next probe of a unit that has just missed one."""

HUNG_GRACE = 1.0
"""Seconds a hung unit is given to go by itself before it is killed."""


def is_hung(misses: int, threshold: int) -> bool:
    """Whether so many misses in a row mean that the unit must be replaced."""
    return misses >= threshold


def next_probe(misses: int, interval: float, jitter: float) -> float:
    """Seconds until the next probe; `jitter` in [0, 1) spreads a fleet's probes apart."""
    if misses:
        return min(interval, RECHECK_AFTER)
    return interval * (1 - 0.2 * jitter)
