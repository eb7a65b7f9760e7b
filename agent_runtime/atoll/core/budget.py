"""The hard limits of a turn and of a session (`[budget]`), and what a caller leaves. Pure."""

from msgspec import Struct

from atoll.config.manifest import Budget
from atoll.core.history import CHARS_PER_TOKEN
from atoll.errors import BudgetSpent


class Spent(Struct, frozen=True, kw_only=True):
    """What a turn has cost so far; `calls` are those of tools, begun or about to begin."""

    tokens: int
    calls: int
    seconds: float


class Allowance(Struct, frozen=True, kw_only=True):
    """What an agent leaves to one that it asks; None is without a limit."""

    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None


NO_LIMIT = Allowance()


def check(
    budget: Budget, spent: Spent, left: int | None = None, given: Allowance = NO_LIMIT
) -> None:
    """Raise BudgetSpent with the limit that the turn is over, and how to raise it.

    `left` is what the session's turns before have left of its tokens, `given`
    what the agent that asks left for this turn.
    """
    limits = (
        ("tokens_per_turn", budget.tokens_per_turn, given.tokens, spent.tokens, "tokens"),
        ("calls_per_turn", budget.calls_per_turn, given.calls, spent.calls, "calls of tools"),
        ("seconds_per_turn", budget.seconds_per_turn, given.seconds, spent.seconds, "seconds"),
    )
    for key, limit, allowed, amount, words in limits:
        if limit is not None and amount > limit:
            raise BudgetSpent(
                f"the turn has used more than its {limit:g} {words}; raise [budget] {key},"
                " or ask for less"
            )
        if allowed is not None and amount > allowed:
            raise BudgetSpent(
                f"the turn has used more than the {allowed:g} {words} that its caller had left;"
                f" raise [budget] {key} of the agent that was asked first, or ask for less"
            )
    if left is not None and spent.tokens > left:
        raise _session_spent(budget)


def remaining(
    budget: Budget,
    spent: Spent,
    left: int | None = None,
    given: Allowance = NO_LIMIT,
    among: int = 1,
) -> Allowance:
    """What is left for each of so many calls that run side by side; time runs for all at once.

    `left` and `given` are as for `check`.
    """
    tokens = least(budget.tokens_per_turn, given.tokens, left)
    calls = least(budget.calls_per_turn, given.calls)
    limits = [one for one in (budget.seconds_per_turn, given.seconds) if one is not None]
    return Allowance(
        tokens=None if tokens is None else max(0, tokens - spent.tokens) // among,
        calls=None if calls is None else max(0, calls - spent.calls) // among,
        seconds=max(0.0, min(limits) - spent.seconds) if limits else None,
    )


def check_session(budget: Budget, tokens: int) -> None:
    """Raise BudgetSpent for a session whose turns have used all its tokens."""
    if budget.tokens_per_session is not None and tokens >= budget.tokens_per_session:
        raise _session_spent(budget)


def left_of_session(budget: Budget, tokens: int) -> int | None:
    """What a session that has cost so many tokens may still use; None is no limit."""
    most = budget.tokens_per_session
    return None if most is None else max(0, most - tokens)


def estimated(asked: int, calls: int, said: int) -> int:
    """The tokens of a turn that broke off: `asked` characters in each call, `said` in all."""
    return (asked * calls + said) // CHARS_PER_TOKEN


def least(*limits: int | None) -> int | None:
    """The lowest of the limits that there are."""
    return min((limit for limit in limits if limit is not None), default=None)


def _session_spent(budget: Budget) -> BudgetSpent:
    return BudgetSpent(
        f"the session has used its {budget.tokens_per_session} tokens; begin another one,"
        " or raise [budget] tokens_per_session"
    )
