"""Ports for any set of units, any past and any strangers."""

from hypothesis import given
from hypothesis import strategies as st

from atoll_supervisor.core.numbering import Numbers, assign

SLUGS = st.sampled_from("abcdefgh")
PORTS = st.integers(8098, 8110)
WISHES = st.dictionaries(SLUGS, st.just(0) | PORTS)
KNOWN = st.dictionaries(SLUGS, PORTS)
TAKEN = st.sets(PORTS)
LAST = st.integers(8100, 8112)


def given_ports(
    wishes: dict[str, int], known: dict[str, int], taken: set[int], last: int
) -> Numbers:
    return assign(wishes, known, 8100, taken, last)


@given(WISHES, KNOWN, TAKEN, LAST)
def test_every_unit_has_a_port_of_its_own_or_a_reason(
    wishes: dict[str, int], known: dict[str, int], taken: set[int], last: int
) -> None:
    numbers = given_ports(wishes, known, taken, last)
    assert len(set(numbers.ports.values())) == len(numbers.ports)
    assert numbers.ports.keys() | numbers.problems.keys() == wishes.keys()
    assert not numbers.ports.keys() & numbers.problems.keys()
    for slug, port in numbers.ports.items():
        if wishes[slug]:
            assert port == wishes[slug]
        else:
            assert 8100 <= port <= last
            assert port not in taken


@given(WISHES, KNOWN, TAKEN, LAST)
def test_what_was_assigned_once_is_assigned_again(
    wishes: dict[str, int], known: dict[str, int], taken: set[int], last: int
) -> None:
    first = given_ports(wishes, known, taken, last)
    again = given_ports(wishes, {**known, **first.ports}, taken, last)
    assert again.ports == first.ports
    assert again.moved == {}


@given(WISHES, st.permutations(range(8100, 8108)), TAKEN)
def test_an_automatic_unit_moves_only_from_a_port_that_a_stranger_or_a_fixed_one_has(
    wishes: dict[str, int], order: list[int], taken: set[int]
) -> None:
    known = dict(zip("abcdefgh", order, strict=True))
    numbers = given_ports(wishes, known, taken, 8112)
    fixed_of_old = {p for slug, p in wishes.items() if p and known[slug] == p}
    assert set(numbers.moved.values()) <= taken | fixed_of_old
    for slug, port in numbers.ports.items():
        if not wishes[slug] and port != known[slug]:
            assert port not in {known[other] for other in wishes if not wishes[other]}


@given(WISHES, KNOWN, TAKEN, LAST)
def test_a_newcomer_changes_nobody_elses_port(
    wishes: dict[str, int], known: dict[str, int], taken: set[int], last: int
) -> None:
    first = given_ports(wishes, known, taken, last)
    more = given_ports({**wishes, "zz": 0}, {**known, **first.ports}, taken, last)
    assert {slug: more.ports.get(slug) for slug in first.ports} == dict(first.ports)
