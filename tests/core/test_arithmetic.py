"""Sums are found in sentences, computed exactly, and bounded."""

import pytest

from atoll.adapters.arithmetic import Unreadable, computed, sum_in


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("What is 12 * 3?", "12 * 3 = 36"),
        ("compute (1 + 2) \u00d7 4 please", "(1 + 2) \u00d7 4 = 12"),
        ("7 ÷ 2", "7 ÷ 2 = 3.5"),
        ("2^10", "2^10 = 1024"),
        ("1,000 + 1", "1,000 + 1 = 1001"),
        ("what is -3 - -4", "-3 - -4 = 1"),
        ("10 % 4", "10 % 4 = 2"),
        ("1 / 0", "1 / 0 divides by zero"),
    ],
)
def test_a_sum_is_answered(text: str, said: str):
    assert sum_in(text) == said


@pytest.mark.parametrize(
    "text", ["hello", "I have 3 cats", "", "call 112", "v1.2.3", "2024-01-05", "3 +"]
)
def test_what_is_no_sum_is_left_alone(text: str):
    assert sum_in(text) == ""


@pytest.mark.parametrize(
    "text", ["9**9**9", "2**99999999", "__import__('os')", "(1).real", "1 if 1 else 2", "1" * 5000]
)
def test_what_costs_too_much_or_is_code_is_refused(text: str):
    with pytest.raises(Unreadable):
        computed(text)


def test_deep_nesting_is_refused_not_crashed_on():
    assert sum_in("(" * 90 + "1+1" + ")" * 90) in ("", "(" * 90 + "1+1" + ")" * 90 + " = 2")
    assert sum_in("-" * 150 + "1+1") == ""
