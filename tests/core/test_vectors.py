"""Embeddings are cut first and scaled then."""

import math

from atoll.core.vectors import fitted


def test_a_vector_gets_the_length_1() -> None:
    assert fitted((3.0, 4.0)) == (0.6, 0.8)


def test_it_is_cut_before_it_is_scaled() -> None:
    assert fitted((3.0, 4.0, 12.0), 2) == (0.6, 0.8)
    assert fitted((3.0, 4.0), 9) == (0.6, 0.8)


def test_zeros_and_nothing_stay_what_they_are() -> None:
    assert fitted((0.0, 0.0)) == (0.0, 0.0)
    assert fitted(()) == ()


def test_huge_numbers_do_not_overflow() -> None:
    assert math.isclose(math.hypot(*fitted((1e300, -1e300))), 1.0)
