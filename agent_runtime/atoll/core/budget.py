"""The hard limits of one turn: `[budget]`, and what a caller leaves to a delegated one. Pure."""

from msgspec import Struct

from atoll.config.manifest import Budget
from atoll.errors import BudgetSpent


class Spent(Struct, frozen=True, kw_only=True):
    """What a turn has cost so far; `calls` are those of tools, begun or about to begin."""

    tokens: int
    calls: int
    seconds: float


class Allowance(Struct, frozen=True, kw_only=True):
    """What may still be used; None is without a limit."""

    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None


def check(budget: Budget, spent: Spent, given: Allowance) -> None:
    """Raise BudgetSpent with the limit that the turn is over, and how to raise it.

    `given` is what the agent that asks left for this turn.
    """
    limits = (
        ("tokens_per_turn", budget.tokens_per_turn, given.tokens, spent.tokens, "tokens"),
        ("calls_per_turn", budget.calls_per_turn, given.calls, spent.calls, "calls of tools"),
        ("seconds_per_turn", budget.seconds_per_turn, given.seconds, spent.seconds, "seconds"),
    )
    for key, limit, left, amount, words in limits:
        if limit is not None and amount > limit:
            raise BudgetSpent(
                f"the turn has used more than its {limit:g} {words}; raise [budget] {key},"
                " or ask for less"
            )
        if left is not None and amount > left:
            raise BudgetSpent(
                f"the turn has used more than the {left:g} {words} that its caller had left;"
                f" raise [budget] {key} of the agent that was asked first, or ask for less"
            )


def remaining(budget: Budget, spent: Spent, given: Allowance, among: int = 1) -> Allowance:
    """What is left for each of so many calls that run side by side; time runs for all at once."""
    return Allowance(
        tokens=_left(_least(budget.tokens_per_turn, given.tokens), spent.tokens, among),
        calls=_left(_least(budget.calls_per_turn, given.calls), spent.calls, among),
        seconds=_rest(_least(budget.seconds_per_turn, given.seconds), spent.seconds),
    )


def _least(own: float | None, given: float | None) -> float | None:
    limits = [limit for limit in (own, given) if limit is not None]
    return min(limits, default=None)


def _left(limit: float | None, amount: int, among: int) -> int | None:
    return None if limit is None else max(0, int(limit) - amount) // among


def _rest(limit: float | None, amount: float) -> float | None:
    return None if limit is None else max(0.0, limit - amount)
