"""Runs under any events in any order: a result counts once, an end is an end."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from atoll_supervisor.core.runs.events import (
    Answered,
    AskFailed,
    Begun,
    CancelAsked,
    Event,
    Interrupted,
)
from atoll_supervisor.core.runs.machine import accepted, open_question, step
from atoll_supervisor.core.runs.records import Key
from tests.fakes.roles import finding, plan, role

FIND = finding(
    role("a", "query: str?, result: str?", choices=("a", "b")),
    role("b", "result: str", hand_off="c"),
    role("c", "", ""),
)
TEXTS = st.sampled_from(
    ['{"result": "x"}', '{"agent": "a", "confidence": 1}', '{"agent": "b", "confidence": 1}', "no"]
)
OPEN = Key(0)
"""In an event: the question that is open just then."""
KEYS = st.just(OPEN) | st.builds(
    Key, st.integers(1, 4), st.integers(0, 1), st.integers(0, 2), st.booleans()
)
AT = st.just(1.0)
EVENTS = st.one_of(
    st.builds(Begun, AT),
    st.builds(Answered, KEYS, TEXTS, AT),
    st.builds(Interrupted, KEYS, st.just("gone"), AT),
    st.builds(AskFailed, KEYS, st.just("no"), st.just("failed"), AT),
    st.builds(CancelAsked, AT),
)


def aimed(event: Event, key: Key | None) -> Event:
    if isinstance(event, Begun | CancelAsked) or event.key != OPEN:
        return event
    return replace(event, key=key or OPEN)


@given(st.lists(EVENTS, max_size=40), st.sampled_from(["continue", "fail"]))
def test_steps_grow_one_at_a_time_and_ids_rise_by_one(events: list[Event], policy: str) -> None:
    run = accepted(plan(kind="flock", on_interrupt=policy, max_steps=4)).run
    for event in events:
        out = step(run, aimed(event, open_question(run)), FIND)
        assert out.run.steps[: len(run.steps)] == run.steps
        assert len(out.run.steps) - len(run.steps) in (0, 1)
        begin = run.progress.told + 1
        assert [one.id for one in out.told] == list(range(begin, begin + len(out.told)))
        assert not run.is_final or (out.run == run and not out.told)
        if out.ask is not None:
            assert out.ask.key == open_question(out.run)
        run = out.run
    assert [one.position for one in run.steps] == list(range(1, len(run.steps) + 1))
    assert len(run.steps) <= 4
