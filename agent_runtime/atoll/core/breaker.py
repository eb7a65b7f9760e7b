"""A circuit breaker as a pure state machine: one that fails again and again is left alone.

    closed     calls pass; MOST failures one after the other open it
    open       no call passes until its rest is over
    half open  one call passes; it closes the breaker, or opens it again

Whoever lets a call pass tells how it ended: `after` with True or False, or
`given_up` when it was cancelled and nobody knows.
"""

from typing import assert_never

from msgspec import Struct

MOST = 5
"""Failures one after the other that open it."""


class Closed(Struct, frozen=True):
    """All is well, but for the last `failures` calls."""

    failures: int = 0


class Open(Struct, frozen=True):
    """Left alone until that monotonic second."""

    until: float


class HalfOpen(Struct, frozen=True):
    """One call is under way that will tell."""


Breaker = Closed | Open | HalfOpen


def admitted(breaker: Breaker, now: float) -> Breaker | None:
    """The breaker once a call has passed, None where it may not pass."""
    match breaker:
        case Closed():
            return breaker
        case Open(until):
            return HalfOpen() if now >= until else None
        case HalfOpen():
            return None
        case _:
            assert_never(breaker)


def after(breaker: Breaker, now: float, rest: float, *, is_well: bool) -> Breaker:
    """The breaker once a call has ended; `rest` seconds an open one stays open."""
    if is_well:
        return Closed()
    match breaker:
        case Closed(failures):
            return Closed(failures + 1) if failures + 1 < MOST else Open(now + rest)
        case Open():  # a call that passed before it opened
            return breaker
        case HalfOpen():
            return Open(now + rest)
        case _:
            assert_never(breaker)


def given_up(breaker: Breaker, now: float) -> Breaker:
    """The breaker once a call was cancelled: the next one may tell instead."""
    return Open(now) if isinstance(breaker, HalfOpen) else breaker
