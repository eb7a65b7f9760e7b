"""What travels with a delegated call: written, read, and refused when it was touched (S41)."""

import pytest

from atoll.core.budget import Allowance
from atoll.core.hops import BadHops, GoesRound, Hop
from atoll.core.papers import (
    BUDGET,
    DEADLINE,
    HOPS,
    SEAL,
    TRACE,
    Journey,
    Seal,
    journey_of,
    papers_of,
)
from atoll.core.trace import Trace, read_trace

FLEET, OTHER, ALONE = Seal("fleet-key", "i"), Seal("other-key", "i"), Seal("", "instance")
ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
WAY = Journey(
    hops=tuple(Hop(name, FLEET.realm) for name in ("a", "b", "c")),
    trace=Trace(ID, "01"),
    allowance=Allowance(tokens=100, calls=3, seconds=2.5),
)


def papers(**changes: str | None) -> dict[bytes, str]:
    """Those of `WAY`, with some of them changed (or left out) afterwards."""
    names = {"hops": HOPS, "seal": SEAL, "budget": BUDGET, "deadline": DEADLINE, "trace": TRACE}
    made = papers_of(WAY, FLEET, SPAN)
    for name, value in changes.items():
        if value is None:
            del made[names[name]]
        else:
            made[names[name]] = value
    return made


def swapped() -> str:
    a, b, c = papers()[HOPS].split(",")
    return f"{b},{a},{c}"


def test_a_journey_arrives_as_it_left_with_the_agent_that_it_came_to() -> None:
    came = journey_of(papers(), FLEET, "d")
    assert came.hops == (*WAY.hops, Hop("d", FLEET.realm))
    assert (came.trace, came.allowance) == (WAY.trace, WAY.allowance)
    assert papers()[TRACE] == f"00-{ID}-{SPAN}-01"
    assert (papers()[DEADLINE], papers()[BUDGET]) == ("2500", "tokens=100,calls=3")


@pytest.mark.parametrize(
    "changes",
    [
        {"seal": None},
        {"seal": "0" * 64},
        {"seal": "é"},
        {"seal": OTHER.on(papers())},
        {"hops": swapped()},
        {"hops": papers()[HOPS].split(",", 1)[1]},
        {"hops": papers()[HOPS].split(",")[2]},
        {"hops": papers()[HOPS] + f",d@{FLEET.realm}"},
        {"budget": "tokens=100000,calls=3"},
        {"budget": None},
        {"deadline": "99999999"},
        {"deadline": None},
        {"trace": f"00-{'1' * 32}-{SPAN}-01"},
        {"hops": None},
    ],
    ids=str,
)
def test_papers_of_the_fleet_that_were_touched_are_refused(changes: dict[str, str | None]) -> None:
    """Forged, reordered, cut at either end, lengthened; and what goes with the list."""
    with pytest.raises(BadHops) as caught:
        journey_of(papers(**changes), FLEET, "d")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "given",
    [
        {HOPS: "x"},
        {BUDGET: "money=5"},
        {BUDGET: "tokens=1,tokens=2"},
        {BUDGET: "tokens=-1"},
        {BUDGET: "tokens=1e9"},
        {DEADLINE: "soon"},
        {DEADLINE: "9" * 400},
        {DEADLINE: "٣"},
    ],
    ids=str,
)
def test_what_says_nothing_is_refused(given: dict[bytes, str]) -> None:
    with pytest.raises(BadHops):
        journey_of(given, FLEET, "d")


@pytest.mark.parametrize("me", ["a", "b", "c"])
def test_a_path_that_comes_back_is_refused_where_it_arrives(me: str) -> None:
    with pytest.raises(GoesRound, match=f"a → b → c → {me}"):
        journey_of(papers(), FLEET, me)


def test_an_agent_of_another_fleet_is_believed_where_it_restricts() -> None:
    """It cannot be checked there; it still counts for the depth, and its names are not ours."""
    came = journey_of(papers(), OTHER, "a")
    assert [hop.name for hop in came.hops] == ["a", "b", "c", "a"]
    assert came.allowance == WAY.allowance


def test_agents_without_a_daemon_find_their_circles_too() -> None:
    made = papers_of(Journey(hops=(Hop("a", ALONE.realm),)), ALONE, SPAN)
    assert SEAL not in made
    other = Seal("", "another instance")
    onward = papers_of(journey_of(made, other, "b"), other, SPAN)
    with pytest.raises(GoesRound, match="a → b → a"):
        journey_of(onward, ALONE, "a")


def test_a_client_may_bring_a_trace_and_limits_without_a_path() -> None:
    given = {TRACE: f"00-{ID}-{SPAN}-00", DEADLINE: "1500", BUDGET: "calls=1"}
    came = journey_of(given, FLEET, "d")
    assert came.hops == (Hop("d", FLEET.realm),)
    assert came.allowance == Allowance(calls=1, seconds=1.5)
    assert came.trace == Trace(ID)


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{ID}-{SPAN}-01", Trace(ID, "01")),
        (f"00-{ID}-{SPAN}-ff", Trace(ID, "01")),
        (f"cc-{ID}-{SPAN}-01-what-comes-later", Trace(ID, "01")),
        (f"00-{ID}-{SPAN}-01-more", None),
        (f"ff-{ID}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{ID}-{'0' * 16}-01", None),
        (f"00-{ID.upper()}-{SPAN}-01", None),
        ("", None),
    ],
)
def test_traceparent_is_read_as_w3c_says(header: str, trace: Trace | None) -> None:
    assert read_trace(header) == trace


def test_the_realm_tells_nothing_of_the_key_and_is_the_same_for_all_of_a_fleet() -> None:
    assert Seal("k", "one").realm == Seal("k", "two").realm != Seal("", "one").realm
    assert "k" not in repr(Seal("k", "one"))
