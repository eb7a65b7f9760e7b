"""When an ended unit is started again: restart budget and back-off (DESIGN section 4).

The budget is OTP's intensity and period: ends are counted by their time
stamps, never by a counter that a tick may reset. Spending it does not end the
unit; it is retried slowly, for ever, because a cause may go away by itself.

No policy starts an instant crasher more than ten times in its first 60
seconds: from the third restart on the delay doubles from 1 s whatever
`restart_delay` says.
"""

from msgspec import Struct

from atoll_supervisor.core.spec import Policy

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
RETRY_DELAY = 25.0
LONGEST_RETRY_DELAY = 300.0
EARLY_RETRIES = 10
SPREAD = 0.2
STABLE_AFTER = 60.0
"""Seconds of health after which a unit's history is forgotten."""


class History(Struct, frozen=True):
    """What the budget knows of a unit since it was last healthy for long.

    `ends` are the monotonic times of the last ends within the window, newest
    first. `attempt` counts restarts in a row; `retries` counts the slow ones
    after the budget was spent.
    """

    ends: tuple[float, ...] = ()
    attempt: int = 0
    retries: int = 0


CLEAN = History()


class Again(Struct, frozen=True):
    """Start it again after `delay` seconds; `spent` tells that the budget is used up."""

    history: History
    delay: float
    spent: bool


def after_end(history: History, policy: Policy, now: float, jitter: float) -> Again:
    """Decide when a unit that ended at `now` is started again.

    `jitter` in [0, 1) lengthens a delay by up to a fifth, so that units that
    fell together do not rise together.
    """
    ends = add_end(history.ends, now, policy.restart_window)[: policy.max_restarts + 1]
    if history.retries or len(ends) > policy.max_restarts:
        retries = history.retries + 1
        spent = History(ends=ends, attempt=history.attempt, retries=retries)
        return Again(spent, spread(retry_delay(retries), jitter), spent=True)
    attempt = history.attempt + 1
    delay = spread(backoff_delay(attempt, policy.restart_delay), jitter)
    return Again(History(ends=ends, attempt=attempt), delay, spent=False)


def add_end(ends: tuple[float, ...], now: float, window: float) -> tuple[float, ...]:
    """The ends within the last `window` seconds, `now` first (OTP's add_restart)."""
    return (now, *(at for at in ends if now - at < window))


def backoff_delay(attempt: int, first: float | None) -> float:
    """Seconds before restart number `attempt`: none, `first`, then doubling up to a minute."""
    if attempt <= 1:
        return 0.0
    start = FIRST_DELAY if first is None else first
    doublings = min(attempt - 2, 30)
    least = FIRST_DELAY * 2.0 ** (doublings - 1) if doublings else 0.0
    return min(LONGEST_DELAY, max(start * 2.0**doublings, least))


def retry_delay(retries: int) -> float:
    """Seconds before slow retry number `retries`: steady for some minutes, then ever rarer."""
    doublings = min(max(0, retries - EARLY_RETRIES), 30)
    return min(LONGEST_RETRY_DELAY, RETRY_DELAY * 2.0**doublings)


def spread(delay: float, jitter: float) -> float:
    """`delay` lengthened by up to a fifth."""
    return delay * (1 + SPREAD * jitter)
