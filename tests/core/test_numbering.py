"""Ports: sticky, fixed, moved, exhausted."""

import pytest

from atoll_supervisor.core.numbering import Numbers, assign


def test_new_slugs_get_rising_ports_in_the_order_of_their_names() -> None:
    assert assign({"b": 0, "a": 0}, {}, 8100, set()) == Numbers({"a": 8100, "b": 8101}, {}, {})


def test_a_port_once_given_is_kept_although_lower_ones_are_free() -> None:
    assert assign({"a": 0, "b": 0}, {"b": 8107}, 8100, set()).ports == {"a": 8100, "b": 8107}


def test_ports_of_strangers_are_skipped() -> None:
    assert assign({"a": 0, "b": 0}, {}, 8100, {8100, 8102}).ports == {"a": 8101, "b": 8103}


def test_an_automatic_port_that_a_stranger_took_moves_and_is_told() -> None:
    numbers = assign({"a": 0}, {"a": 8100, "b": 8101}, 8100, {8100})
    assert numbers == Numbers({"a": 8102}, {"a": 8100}, {})


def test_the_port_of_a_folder_that_is_away_is_given_to_others_last() -> None:
    known = {"away": 8100}
    assert assign({"a": 0}, known, 8100, set(), last=8101).ports == {"a": 8101}
    assert assign({"a": 0}, known, 8100, {8101}, last=8101).ports == {"a": 8100}


def test_a_port_kept_for_a_folder_that_is_away_is_not_given_when_a_stranger_has_it() -> None:
    known = {"away": 8100, "gone": 9000}
    numbers = assign({"a": 0}, known, 8100, {8100, 8101}, last=8101)
    assert numbers.ports == {}


def test_there_is_no_port_above_65535() -> None:
    ports = assign({"a": 0, "b": 0}, {}, 65535, set())
    assert ports.ports == {"a": 65535}


def test_a_known_port_outside_the_range_is_given_up() -> None:
    assert assign({"a": 0}, {"a": 8100}, 9100, set()).ports == {"a": 9100}


def test_a_fixed_port_is_given_even_when_a_stranger_holds_it_or_it_is_low() -> None:
    assert assign({"a": 22, "b": 8100}, {}, 8100, {8100}).ports == {"a": 22, "b": 8100}


def test_an_automatic_one_makes_room_for_a_fixed_one_on_a_fresh_start() -> None:
    assert assign({"a": 0, "b": 8100}, {}, 8100, set()).ports == {"a": 8101, "b": 8100}


def test_a_new_fixed_port_does_not_take_another_agents_sticky_one() -> None:
    numbers = assign({"a": 0, "b": 8100}, {"a": 8100}, 8100, set())
    assert numbers.ports == {"a": 8100}
    assert "port 8100 belongs to agent 'a'" in numbers.problems["b"]


def test_a_fixed_port_stays_where_it_was_although_an_automatic_one_claims_it() -> None:
    numbers = assign({"a": 0, "b": 8100}, {"a": 8100, "b": 8100}, 8100, set())
    assert numbers == Numbers({"a": 8101, "b": 8100}, {"a": 8100}, {})


def test_of_two_with_one_fixed_port_the_second_by_name_is_told_about_the_first() -> None:
    numbers = assign({"a": 8200, "b": 8200}, {}, 8100, set())
    assert numbers.ports == {"a": 8200}
    assert "belongs to agent 'a'" in numbers.problems["b"]


def test_of_two_with_one_fixed_port_the_one_that_had_it_keeps_it() -> None:
    assert assign({"a": 8200, "b": 8200}, {"b": 8200}, 8100, set()).ports == {"b": 8200}


@pytest.mark.parametrize("taken", [{8100, 8101}, {8100, 8101, 9000}])
def test_an_exhausted_range_is_a_reason_and_leaves_the_others_alone(taken: set[int]) -> None:
    numbers = assign({"a": 0, "f": 8200}, {}, 8100, taken, last=8101)
    assert numbers.ports == {"f": 8200}
    assert "no port is free between 8100 and 8101" in numbers.problems["a"]
