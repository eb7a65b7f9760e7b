"""The circuit breaker of a child."""

from atoll.core.breaker import MOST, Breaker, Closed, HalfOpen, Open, admitted, after, given_up

REST = 30.0


def failed(breaker: Breaker, times: int, now: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker = after(breaker, now, REST, is_well=False)
    return breaker


def test_it_opens_after_five_failures_one_after_the_other() -> None:
    assert failed(Closed(), MOST - 1) == Closed(MOST - 1)
    assert failed(Closed(), MOST) == Open(REST)


def test_one_success_forgets_the_failures_before_it() -> None:
    assert after(failed(Closed(), MOST - 1), 0, REST, is_well=True) == Closed()


def test_an_open_one_lets_nothing_pass_until_its_rest_is_over() -> None:
    assert admitted(Open(REST), REST - 0.1) is None
    assert admitted(Open(REST), REST) == HalfOpen()


def test_a_half_open_one_lets_a_single_call_pass_which_decides() -> None:
    assert admitted(HalfOpen(), 99) is None
    assert after(HalfOpen(), 40, REST, is_well=True) == Closed()
    assert after(HalfOpen(), 40, REST, is_well=False) == Open(70)


def test_a_cancelled_trial_leaves_the_next_call_to_try() -> None:
    breaker = given_up(HalfOpen(), 40)
    assert admitted(breaker, 40) == HalfOpen()
    assert given_up(Closed(2), 40) == Closed(2)


def test_calls_that_were_under_way_when_it_opened_change_nothing_by_failing() -> None:
    assert after(Open(30), 5, REST, is_well=False) == Open(30)
