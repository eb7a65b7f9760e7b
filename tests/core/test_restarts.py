"""Restart budget and back-off."""

import pytest

from atoll_supervisor.core.restarts import (
    CLEAN,
    History,
    add_end,
    after_end,
    backoff_delay,
    retry_delay,
)
from atoll_supervisor.core.spec import Policy


@pytest.mark.parametrize(
    ("attempt", "first", "delay"),
    [
        (1, None, 0.0),
        (2, None, 1.0),
        (3, None, 2.0),
        (7, None, 32.0),
        (8, None, 60.0),
        (5000, None, 60.0),
        (1, 5.0, 0.0),
        (2, 5.0, 5.0),
        (3, 5.0, 10.0),
        (9, 5.0, 60.0),
        (2, 0.0, 0.0),
        (3, 0.0, 1.0),
        (4, 0.0, 2.0),
    ],
)
def test_the_first_restart_is_immediate_and_the_others_double_up_to_a_minute(
    attempt: int, first: float | None, delay: float
) -> None:
    assert backoff_delay(attempt, first) == delay


@pytest.mark.parametrize(
    ("retries", "delay"), [(1, 25.0), (10, 25.0), (11, 50.0), (14, 300.0), (5000, 300.0)]
)
def test_slow_retries_are_steady_for_some_minutes_and_then_rarer(
    retries: int, delay: float
) -> None:
    assert retry_delay(retries) == delay


def test_an_end_older_than_the_window_is_not_counted() -> None:
    assert add_end((90.0, 41.0, 40.0, 10.0), 100.0, 60.0) == (100.0, 90.0, 41.0)


def test_the_budget_is_spent_by_one_end_too_many_and_the_list_does_not_grow() -> None:
    policy, history = Policy(max_restarts=2), CLEAN
    spent = []
    for now in (1.0, 2.0, 3.0, 4.0, 5.0):
        again = after_end(history, policy, now, 0.0)
        history = again.history
        spent.append(again.spent)
    assert spent == [False, False, True, True, True]
    assert history == History(ends=(5.0, 4.0, 3.0), attempt=2, retries=3)


def test_ends_that_are_far_apart_never_spend_the_budget() -> None:
    policy, history = Policy(max_restarts=1), CLEAN
    for now in (0.0, 61.0, 122.0, 183.0):
        again = after_end(history, policy, now, 0.0)
        history = again.history
        assert not again.spent


def test_no_restarts_allowed_means_that_the_first_end_spends_the_budget() -> None:
    assert after_end(CLEAN, Policy(max_restarts=0), 1.0, 0.0).spent


def test_jitter_lengthens_a_delay_by_at_most_a_fifth() -> None:
    history = History(ends=(1.0,), attempt=1)
    delays = [after_end(history, Policy(), 2.0, luck).delay for luck in (0.0, 0.5, 0.999)]
    assert delays == pytest.approx([1.0, 1.1, 1.2], abs=0.001)
