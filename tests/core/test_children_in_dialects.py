"""What children say, in the dialects that can show it, and in those that cannot."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
import pytest

from atoll.http.answer import gathered
from atoll.http.anthropic.projection import MessageProjection
from atoll.http.fleet_rlm.projection import FleetProjection, Said
from atoll.http.kawai.projection import KawaiProjection, answer_of
from atoll.http.native.projection import NativeProjection
from atoll.http.ollama.projection import ChatProjection, GenerateProjection
from atoll.http.openai.legacy_projection import TextProjection
from atoll.http.openai.projection import CompletionProjection
from atoll.http.responses.projection import ResponseProjection
from atoll.http.trajectory import trajectory_of
from atoll.http.turns import Projection
from atoll.wire.events import (
    Below,
    Event,
    Failure,
    OwnEvent,
    Planning,
    Reasoning,
    RunEnd,
    RunStart,
    StepStart,
    Token,
    ToolCall,
    ToolResult,
    Warning,
)
from atoll.wire.messages import Usage
from tests.core.test_dialect_streams import FRAME

END = RunEnd("done", "stop", Usage(), 1)
CHILDS: tuple[OwnEvent, ...] = (
    RunStart("run_c", "child", "do"),
    StepStart(0),
    Reasoning("let me "),
    Reasoning("see"),
    ToolCall("c1", "look", {"at": 1}),
    ToolResult("c1", "look", "seen"),
    Planning("first"),
    Warning("late"),
    Failure("x", "it broke", "agent", 500),
    END,
)
OWN: tuple[Event, ...] = (
    RunStart("run_p", "parent", "go"),
    StepStart(0),
    ToolCall("p1", "child", {"task": "do"}),
    ToolResult("p1", "child", "seen"),
    Token("done"),
    END,
)
DELEGATED: tuple[Event, ...] = tuple(Below(("child",), "run_c", event) for event in CHILDS)
TURN = (*OWN[:3], *DELEGATED, *OWN[3:])


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def kawai(events: Iterable[Event]) -> list[tuple[str, dict[str, object]]]:
    projection = KawaiProjection("s", "parent")
    told = b"".join(projection.events(event, 0.0) for event in events).decode()
    found = [json.loads(line[6:]) for line in told.splitlines() if line]
    return [(event["type"], event["data"]) for event in found]


def test_kawai_tells_a_childs_steps_with_the_path_to_it() -> None:
    told = kawai(DELEGATED)
    assert all(data["path"] == ["parent", "child"] for _, data in told)
    assert [kind for kind, _ in told] == [
        *("step_start", "reasoning", "tool_call", "tool_result", "planning", "warning", "warning"),
    ]
    assert told[1][1]["reasoning"] == "let me see"
    assert told[-1][1]["message"] == "it broke"


def test_kawais_own_events_are_what_they_were_and_end_once() -> None:
    with_children, without = kawai(TURN), kawai(OWN)
    assert [one for one in with_children if "path" not in one[1]] == without
    assert [kind for kind, _ in with_children if kind in ("run_start", "run_end", "error")] == [
        "run_start",
        "run_end",
    ]


def test_the_thinking_of_two_runs_side_by_side_is_kept_apart() -> None:
    parts = [("run_a", "a1 "), ("run_b", "b1 "), ("run_a", "a2"), ("run_b", "b2")]
    thought = [Below(("child",), run, Reasoning(text)) for run, text in parts]
    ends = [Below(("child",), run, StepStart(1)) for run in ("run_b", "run_a")]
    told = [data["reasoning"] for kind, data in kawai([*thought, *ends]) if kind == "reasoning"]
    assert told == ["b1 b2", "a1 a2"]


def fleet_rlm(events: Iterable[Event]) -> list[Said]:
    projection = FleetProjection("s", "turn_1", "compact")
    return [said for event in events for said in projection.told(event)]


def test_fleet_rlm_tells_a_childs_calls_as_statuses_and_its_faults_as_warnings() -> None:
    told = fleet_rlm(DELEGATED)
    assert all(said.payload["path"] == ["child"] for said in told)
    assert [(said.kind, said.text) for said in told] == [
        ("status", "child calls look"),
        ("status", "child has called look"),
        ("warning", "late"),
        ("warning", "it broke"),
    ]


def test_fleet_rlms_own_events_are_what_they_were() -> None:
    without_ids = [
        [(said.kind, said.text) for said in fleet_rlm(events) if "path" not in said.payload]
        for events in (TURN, OWN)
    ]
    assert without_ids[0] == without_ids[1] != []


def test_an_answer_in_one_piece_and_its_trajectory_are_the_agents_own() -> None:
    assert trajectory_of(TURN) == trajectory_of(OWN)
    assert answer_of(TURN, "s", 1) == answer_of(OWN, "s", 1)
    assert gathered(TURN) == gathered(OWN)


@pytest.mark.parametrize(
    "made",
    [
        lambda: ChatProjection("m", now),
        lambda: GenerateProjection("m", now),
        lambda: CompletionProjection("id", 1, "m", usage=True),
        lambda: TextProjection("id", 1, "m", usage=True),
        lambda: MessageProjection("msg_1", "m", "req_1"),
    ],
    ids=["chat", "generate", "completions", "text", "messages"],
)
def test_dialects_without_a_word_for_it_say_what_they_always_said(
    made: Callable[[], Projection],
) -> None:
    def said(events: Iterable[Event]) -> bytes:
        projection = made()
        return b"".join(projection.line(event) for event in events)

    assert said(TURN) == said(OWN) != b""


@pytest.mark.parametrize("event", DELEGATED, ids=lambda one: type(one.event).__name__)
def test_open_responses_leaves_it_out_too(event: Below) -> None:
    """Its items have ids that are made anew, so its streams cannot be compared."""
    assert ResponseProjection(FRAME).line(event) == b""


def test_the_native_dialect_says_everything_as_it_is() -> None:
    projection = NativeProjection()
    lines = b"".join(projection.line(event) for event in TURN).splitlines()
    assert tuple(msgspec.json.decode(line, type=Event) for line in lines) == TURN
