"""The hard limits of one turn (`[budget]`). Pure."""

from msgspec import Struct

from atoll.config.manifest import Budget
from atoll.errors import BudgetSpent


class Spent(Struct, frozen=True, kw_only=True):
    """What a turn has cost so far; `calls` are those of tools, begun or about to begin."""

    tokens: int
    calls: int
    seconds: float


def check(budget: Budget, spent: Spent) -> None:
    """Raise BudgetSpent with the limit that the turn is over, and how to raise it."""
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
