"""What is left of a budget, and whose limit it was that a turn has passed."""

import pytest

from atoll.config.manifest import Budget
from atoll.core.budget import NO_LIMIT, Allowance, Spent, check, remaining
from atoll.errors import BudgetSpent

SPENT = Spent(tokens=100, calls=4, seconds=2.0)


def test_the_tighter_of_both_limits_counts_and_what_is_left_is_shared() -> None:
    own = Budget(tokens_per_turn=1000, calls_per_turn=10)
    given = Allowance(tokens=400, seconds=5.0)
    assert remaining(own, SPENT, None, given) == Allowance(tokens=300, calls=6, seconds=3.0)
    assert remaining(own, SPENT, None, given, 4) == Allowance(tokens=75, calls=1, seconds=3.0)


def test_what_a_session_has_left_is_shared_too() -> None:
    assert remaining(Budget(tokens_per_turn=1000), SPENT, 160, NO_LIMIT, 2).tokens == 30


def test_no_limit_stays_none_and_nothing_is_left_below_zero() -> None:
    assert remaining(Budget(), SPENT) == Allowance()
    assert remaining(Budget(tokens_per_turn=50), SPENT, None, Allowance(seconds=1)) == Allowance(
        tokens=0, seconds=0.0
    )


def test_it_is_said_whether_the_agent_or_its_caller_set_the_limit() -> None:
    with pytest.raises(BudgetSpent, match="more than its 50 tokens; raise"):
        check(Budget(tokens_per_turn=50), SPENT)
    with pytest.raises(BudgetSpent, match="the 3 calls of tools that its caller had left"):
        check(Budget(), SPENT, None, Allowance(calls=3))
    check(Budget(tokens_per_turn=100), SPENT, None, Allowance(tokens=100, calls=4))
