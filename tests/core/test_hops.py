"""Paths of delegation: bounded, never round, and named when they are refused."""

import pytest

from atoll.core.hops import MOST, BadHops, GoesRound, Hop, extended, read_hops, shown, spelled

HERE = "0a1b2c3d"
A, B, C = (Hop(name, HERE) for name in ("a", "b", "c"))


def names(count: int) -> tuple[Hop, ...]:
    return tuple(Hop(f"a{number}", HERE) for number in range(1, count + 1))


def test_a_list_is_read_as_it_was_written() -> None:
    assert read_hops(spelled((A, B))) == (A, B)
    assert spelled((A, B)) == "a@0a1b2c3d,b@0a1b2c3d"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@1", "a@0a1b2c3d,", "A@0a1b2c3d", "a@0a1b2c3g", "../a@0a1b2c3d", "ä@0a1b2c3d"],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(BadHops):
        read_hops(text)


def test_a_list_that_no_agent_could_have_sent_is_refused_by_its_length() -> None:
    with pytest.raises(BadHops):
        read_hops(spelled(names(MOST + 1)))


@pytest.mark.parametrize(
    ("hops", "to", "path"),
    [((A,), A, "a → a"), ((A, B), A, "a → b → a"), ((A, B, C), B, "a → b → c → b")],
)
def test_a_circle_is_refused_with_its_path(hops: tuple[Hop, ...], to: Hop, path: str) -> None:
    with pytest.raises(GoesRound, match=f"in a circle: {path}$") as caught:
        extended(hops, to)
    assert caught.value.status == 508


def test_ten_agents_may_stand_in_a_path_and_eleven_may_not() -> None:
    assert len(extended(names(9), Hop("last", HERE))) == 10
    with pytest.raises(GoesRound, match=r"10 agents at most: a1 → .* → a10 → last$"):
        extended(names(10), Hop("last", HERE))


def test_two_fleets_may_each_have_an_agent_of_one_name() -> None:
    path = extended((A,), Hop("a", "99999999"))
    assert shown(path) == "a → a"
