"""The hard limits of one turn, and of a session (`[budget]`). Pure."""

from msgspec import Struct

from atoll.config.manifest import Budget
from atoll.core.history import CHARS_PER_TOKEN
from atoll.errors import BudgetSpent


class Spent(Struct, frozen=True, kw_only=True):
    """What a turn has cost so far; `calls` are those of tools, begun or about to begin."""

    tokens: int
    calls: int
    seconds: float


def check(budget: Budget, spent: Spent, left: int | None = None) -> None:
    """Raise BudgetSpent with the limit that the turn is over, and how to raise it.

    `left` is what the session's turns before have left of its tokens.
    """
    limits = (
        ("tokens_per_turn", budget.tokens_per_turn, spent.tokens, "tokens"),
        ("calls_per_turn", budget.calls_per_turn, spent.calls, "calls of tools"),
        ("seconds_per_turn", budget.seconds_per_turn, spent.seconds, "seconds"),
    )
    for key, limit, amount, words in limits:
        if limit is not None and amount > limit:
            raise BudgetSpent(
                f"the turn has used more than its {limit:g} {words}; raise [budget] {key},"
                " or ask for less"
            )
    if left is not None and spent.tokens > left:
        raise _session_spent(budget)


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
