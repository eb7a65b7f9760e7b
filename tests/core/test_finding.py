"""Which agent a table of `[sub_agents]` means: the rule of choice, and clear refusals."""

import pytest

from atoll.config.manifest import SubAgent
from atoll.core.finding import Asker, NoChild, Seen, chosen
from atoll.core.hops import GoesRound, Hop

REALM = "0a1b2c3d"
ME = Asker((Hop("me", REALM),), REALM)
ABLE = SubAgent(capability="search")
X, A = SubAgent(agent="x"), SubAgent(agent="a")


def agent(slug: str, phase: str = "running", status: str = "running", **more: object) -> Seen:
    fields = {"url": f"http://127.0.0.1/{slug}", "capabilities": ("search",)} | more
    return Seen(slug=slug, status=status, phase=phase, **fields)


def test_a_name_is_found_in_any_spelling() -> None:
    rows = [agent("librarian"), agent("other")]
    for name in ("Librarian", "librarian:latest"):
        assert chosen(SubAgent(agent=name), rows, ME, {}).slug == "librarian"


def test_who_runs_comes_before_who_sleeps_then_the_least_busy_then_the_first_by_name() -> None:
    rows = [
        agent("asleep", phase="asleep", in_flight=0),
        agent("d", in_flight=1),
        agent("c", in_flight=0),
        agent("b", in_flight=0),
    ]
    assert chosen(ABLE, rows, ME, {}).slug == "b"
    assert chosen(ABLE, rows, ME, {"b": 1}).slug == "c"
    assert chosen(ABLE, rows, ME, {"b": 2, "c": 2}).slug == "d"
    assert chosen(ABLE, rows[:1], ME, {}).slug == "asleep"


def test_nobody_is_chosen_who_waits_for_the_caller() -> None:
    asker = Asker((Hop("b", REALM), Hop("me", REALM)), REALM)
    assert chosen(ABLE, [agent("b"), agent("c")], asker, {}).slug == "c"
    with pytest.raises(GoesRound, match="b → me → b"):
        chosen(ABLE, [agent("b")], asker, {})


def test_an_agent_that_has_the_capability_itself_does_not_ask_itself() -> None:
    with pytest.raises(GoesRound, match="me → me"):
        chosen(ABLE, [agent("me")], ME, {})


@pytest.mark.parametrize(
    ("child", "rows", "words"),
    [
        (
            SubAgent(agent="x"),
            [agent("b"), agent("a")],
            "no agent of this fleet is called 'x'; it has a, b",
        ),
        (X, [], "it has none at all"),
        (SubAgent(capability="fly"), [agent("a")], "has the capability 'fly'; they have search"),
        (A, [agent("a", "stopped", "stopped")], "`atoll start a` starts it"),
        (
            SubAgent(agent="a"),
            [agent("a", "invalid", "failed", reason="line 3")],
            "is wrong: line 3",
        ),
        (
            SubAgent(agent="a"),
            [agent("a", "failed", "failed", reason="boom\nx")],
            "failed: boom; see",
        ),
    ],
)
def test_a_refusal_says_what_mends_it(child: SubAgent, rows: list[Seen], words: str) -> None:
    with pytest.raises(NoChild) as caught:
        chosen(child, rows, ME, {})
    assert words in str(caught.value)
