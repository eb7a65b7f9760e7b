"""What the benchmark of sessions concludes: a loss must not pass as a success."""

import random

import pytest
from benchmarks.sessions.kills import Exported, by_session, faults
from benchmarks.sessions.memory import Memory
from benchmarks.sessions.steps import Steps
from benchmarks.sessions.table import table
from benchmarks.sessions.talker import Sent, Talker, Told

SENT = [
    Sent("s", "message 0", True),
    Sent("s", "message 1", False),
    Sent("s", "message 2", True),
]


def held(*texts: str, summarised: int = 0) -> Exported:
    said = [(text, "One two") for text in texts]
    messages = [
        Exported.Message(role, content)
        for pair in said
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    return Exported(messages, summarised)


@pytest.mark.parametrize(
    "texts", [("message 0", "message 2"), ("message 0", "message 1", "message 2")]
)
def test_what_was_not_acknowledged_may_be_there_or_not(texts: tuple[str, ...]) -> None:
    assert faults("s", SENT, held(*texts, summarised=2)) == []


@pytest.mark.parametrize(
    ("session", "told"),
    [
        (held("message 0"), "message 2 was acknowledged and is lost"),
        (held(), "message 0 was acknowledged and is lost"),
        (held("message 0", "message 2", "message 2"), "holds a message twice"),
        (held("message 2", "message 0"), "in another order"),
        (held("message 0", "message 2", "message 3"), "such as nobody sent"),
        (held("message 0", "message 2", summarised=6), "its summary is of more than there is"),
        (
            Exported([*held("message 0", "message 2").messages, Exported.Message("user", "x")], 0),
            "a message without an answer",
        ),
    ],
)
def test_every_kind_of_loss_is_found(session: Exported, told: str) -> None:
    assert [told in one for one in faults("s", SENT, session)].count(True) == 1


def test_messages_are_judged_by_session() -> None:
    assert by_session([Sent("a", "1", True), Sent("b", "2", True), Sent("a", "3", False)]) == {
        "a": [Sent("a", "1", True), Sent("a", "3", False)],
        "b": [Sent("b", "2", True)],
    }


@pytest.mark.parametrize(
    ("last", "told", "wrong"),
    [
        (None, Told("turn_1", 1, "run_start"), 0),
        (Told("turn_1", 1, "run_start"), Told("turn_1", 2, "step_start"), 0),
        (Told("turn_1", 1, "run_start"), Told("turn_1", 7, "run_end"), 0),
        (Told("turn_1", 2, "step_start"), Told("turn_1", 2, "step_start"), 1),
        (Told("turn_1", 2, "step_start"), Told("turn_1", 1, "run_start"), 1),
        (Told("turn_1", 2, "step_start"), Told("turn_2", 3, "run_end"), 1),
    ],
)
def test_an_event_that_is_told_twice_is_found(last: Told | None, told: Told, wrong: int) -> None:
    talker = Talker(0, "t", random.Random(1))
    talker.judge(last, told)
    assert len(talker.wrong) == wrong


FAST = Steps(model=0.001, turn=0.0012, session=0.0015, long=0.0018)


@pytest.mark.parametrize(
    ("memory", "steps", "held"),
    [
        (Memory(60, 90, 110, 1000, 100), FAST, True),
        (Memory(60, 90, 151, 1000, 100), FAST, False),
        (Memory(60, 90, 110, 1000, 100), FAST._replace(session=0.0021), False),
        (Memory(60, 90, 110, 1000, 100), FAST._replace(long=0.0021), False),
    ],
)
def test_a_goal_that_is_missed_is_told(memory: Memory, steps: Steps, held: bool) -> None:
    text, verdict = table(memory, {1: steps})
    assert verdict is held
    assert ("**no**" in text) is not held
    assert "1,000 sessions and 100 turns at once, most RSS" in text
