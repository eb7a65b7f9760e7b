"""Probes: hysteresis and their times."""

import pytest

from atoll_supervisor.core.health import is_hung, next_probe


@pytest.mark.parametrize(("misses", "hung"), [(0, False), (2, False), (3, True), (4, True)])
def test_only_some_misses_in_a_row_prove_that_a_unit_hangs(misses: int, *, hung: bool) -> None:
    assert is_hung(misses, 3) is hung


def test_a_miss_brings_the_next_probe_forward_but_never_back() -> None:
    assert next_probe(1, 30.0, 0.5) == 1.0
    assert next_probe(1, 0.2, 0.5) == 0.2


def test_probes_of_a_fleet_are_spread_over_a_fifth_of_the_interval() -> None:
    assert [next_probe(0, 30.0, luck) for luck in (0.0, 0.5)] == [30.0, 27.0]
