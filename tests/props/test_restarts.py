"""Restart budget and back-off for any policy and any luck."""

from hypothesis import given
from hypothesis import strategies as st

from atoll_supervisor.core.restarts import (
    CLEAN,
    LONGEST_DELAY,
    LONGEST_RETRY_DELAY,
    SPREAD,
    after_end,
    backoff_delay,
)
from atoll_supervisor.core.spec import Policy

POLICIES = st.builds(
    Policy,
    max_restarts=st.integers(0, 1000),
    restart_window=st.floats(0.1, 1e6),
    restart_delay=st.none() | st.floats(0, 1e6),
)
LUCK = st.floats(0, 0.999)


@given(POLICIES, st.lists(LUCK, min_size=60, max_size=60))
def test_no_policy_starts_an_instant_crasher_more_than_ten_times_in_its_first_minute(
    policy: Policy, luck: list[float]
) -> None:
    history, now, tries = CLEAN, 0.0, 0
    for jitter in luck:
        tries += now < 60.0
        again = after_end(history, policy, now, jitter)
        history, now = again.history, now + again.delay
    assert tries <= 10


@given(POLICIES, st.lists(st.tuples(st.floats(0, 200), LUCK), max_size=80))
def test_a_unit_is_always_tried_again_in_bounded_time_and_the_budget_is_exact(
    policy: Policy, ends: list[tuple[float, float]]
) -> None:
    history, now, stamps = CLEAN, 0.0, []
    for pause, jitter in ends:
        now += pause
        stamps.append(now)
        within = sum(now - at < policy.restart_window for at in stamps)
        retrying = history.retries > 0
        again = after_end(history, policy, now, jitter)
        history = again.history
        assert again.spent == (retrying or within > policy.max_restarts)
        assert 0 <= again.delay <= max(LONGEST_DELAY, LONGEST_RETRY_DELAY) * (1 + SPREAD)
        assert len(history.ends) <= policy.max_restarts + 1


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9))
def test_a_later_restart_never_waits_less(attempt: int, first: float | None) -> None:
    assert backoff_delay(attempt, first) <= backoff_delay(attempt + 1, first) <= LONGEST_DELAY
