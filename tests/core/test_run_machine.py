"""Runs, decided: every transition of one agent's run and of workflows."""

import json

import pytest

from atoll.wire.json import JsonObject
from atoll_supervisor.core.runs.events import (
    Answered,
    AskFailed,
    Begun,
    CancelAsked,
    Event,
    Interrupted,
    Outcome,
)
from atoll_supervisor.core.runs.machine import (
    MOST_DETAIL,
    MOST_TRIES,
    accepted,
    open_question,
    step,
)
from atoll_supervisor.core.runs.prompt import MOST_QUOTED
from atoll_supervisor.core.runs.records import Asking, Choosing, Key, Plan
from atoll_supervisor.core.runs.roles import Find, Role
from atoll_supervisor.core.runs.view import body_of, row_of
from tests.fakes.roles import finding, plan, role


class Story:
    """A run, and what it has asked and told so far."""

    def __init__(self, plan: Plan, find: Find) -> None:
        self.find = find
        self.last = accepted(plan)
        self.run = self.last.run
        self.told = [one.type for one in self.last.told]
        self.ids = [one.id for one in self.last.told]
        self.happen(Begun(1_001.0))

    def happen(self, event: Event) -> Outcome:
        self.last = step(self.run, event, self.find)
        self.run = self.last.run
        self.told += [one.type for one in self.last.told]
        self.ids += [one.id for one in self.last.told]
        return self.last

    def answer(self, said: str | JsonObject) -> "Story":
        key = open_question(self.run)
        assert key is not None
        text = said if isinstance(said, str) else json.dumps(said)
        self.happen(Answered(key, text, 1_002.0))
        return self

    def fate(self) -> tuple[str, str | None]:
        body = body_of(self.run)
        return body.status, body.reason

    @property
    def result(self) -> JsonObject | None:
        return body_of(self.run).result

    @property
    def error(self) -> str:
        return body_of(self.run).error or ""


A = role("a")


def test_a_run_of_one_agent_asks_it_and_gives_its_answer() -> None:
    story = Story(plan(), finding(A))
    ask = story.last.ask
    assert ask is not None
    assert ask.messages[0].content.startswith("hi\n\nAnswer with a JSON object")
    assert ask.schema is not None
    assert story.fate() == ("running", None)
    story.answer({"result": "done"})
    assert story.fate() == ("completed", None)
    assert story.result == {"result": "done"}
    assert story.told == ["run_accepted", "step_started", "step_completed", "run_completed"]
    assert story.ids == [1, 2, 3, 4]


def test_a_run_is_starting_before_it_has_begun() -> None:
    run = accepted(plan()).run
    body = body_of(run)
    assert (body.status, body.result, body.completed_at, body.error) == (
        "starting", None, None, None,
    )  # fmt: skip
    assert body.started_at == "1970-01-01T00:16:40.000Z"
    assert row_of(run).steps == 0


def test_an_unknown_agent_fails_in_flock_s_own_words() -> None:
    story = Story(plan("Unknown_Agent"), finding(A))
    assert story.fate() == ("failed", "agent_not_found")
    assert story.error == "Agent 'Unknown_Agent' not found"
    assert body_of(story.run).completed_at


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "input `query` (str) is missing"),
        ({"query": 3}, "must be str, not int"),
        ({"query": "x", "quary": "y"}, "did you mean `query`?"),
    ],
)
def test_inputs_that_break_the_signature_fail_before_anybody_is_asked(
    inputs: JsonObject, words: str
) -> None:
    story = Story(plan(inputs=inputs), finding(A))
    assert story.fate() == ("failed", "invalid_inputs")
    assert words in story.error
    assert story.last.ask is None


def test_a_fenced_answer_is_taken() -> None:
    story = Story(plan(), finding(A)).answer('```json\n{"result": "x"}\n```')
    assert story.result == {"result": "x"}


def test_half_an_emoji_in_an_answer_is_taken_as_the_replacement_character() -> None:
    """A model that stops inside a character sends one; the rest of its answer is good."""
    story = Story(plan(), finding(A)).answer(r'{"result": "cut: \ud83d"}')
    assert story.result == {"result": "cut: \ufffd"}


def test_an_answer_that_does_not_fit_may_be_mended_once() -> None:
    story = Story(plan(), finding(A)).answer("I think so")
    ask = story.last.ask
    assert ask is not None
    assert [one.role for one in ask.messages] == ["user", "assistant", "user"]
    assert "no JSON" in ask.messages[2].content
    assert story.fate() == ("running", None)
    story.answer({"result": "mended"})
    assert story.result == {"result": "mended"}
    assert "answer_refused" in story.told


def test_of_a_wrong_answer_of_any_length_its_model_is_shown_the_beginning() -> None:
    story = Story(plan(), finding(A)).answer("x" * 1_000_000)
    assert story.last.ask is not None
    assert story.last.ask.messages[1].content == "x" * MOST_QUOTED


def test_a_second_misfit_fails_the_run_and_says_why() -> None:
    story = Story(plan(), finding(A)).answer({"result": 3}).answer({"wrong": "x"})
    assert story.fate() == ("failed", "invalid_output")
    assert "answered twice what does not fit" in story.error
    assert "output `result` (str) is missing" in story.error


def test_an_agent_without_signatures_takes_and_gives_anything() -> None:
    story = Story(plan(inputs={"x": 1, "y": "z"}), finding(role("a", "", "")))
    ask = story.last.ask
    assert ask is not None
    assert (ask.messages[0].content, ask.schema) == ("x: 1\ny: z", None)
    assert story.answer("free text").result == {"result": "free text"}


def test_a_late_answer_changes_nothing() -> None:
    """Never a step's result twice."""
    story = Story(plan(), finding(A))
    key = Key(1)
    story.happen(Interrupted(key, "killed", 1_002.0))
    assert story.happen(Answered(key, '{"result": "late"}', 1_003.0)).told == ()
    assert story.run.steps == ()
    story.answer({"result": "right"})
    assert story.happen(Answered(Key(1, tries=1), '{"result": "again"}', 1_003.0)).told == ()
    assert (len(story.run.steps), story.result) == (1, {"result": "right"})


def test_an_interrupted_step_is_asked_again() -> None:
    story = Story(plan(), finding(A))
    story.happen(Interrupted(Key(1), "killed", 1_002.0))
    assert story.last.ask is not None
    assert story.last.ask.key == Key(1, tries=1)
    assert story.answer({"result": "x"}).fate() == ("completed", None)


def test_a_run_that_must_not_be_repeated_fails_with_the_reason_interrupted() -> None:
    story = Story(plan(on_interrupt="fail"), finding(A))
    story.happen(Interrupted(Key(1), "the agent was killed", 1_002.0))
    assert story.fate() == ("failed", "interrupted")
    assert story.error == "interrupted in step 1 (agent 'a'): the agent was killed"


def test_a_step_that_ends_its_agent_every_time_is_given_up() -> None:
    story = Story(plan(), finding(A))
    for tries in range(MOST_TRIES):
        assert story.fate() == ("running", None)
        story.happen(Interrupted(Key(1, tries=tries), "killed", 1_002.0))
    assert story.fate() == ("failed", "interrupted")


def test_an_agent_that_cannot_answer_fails_the_run() -> None:
    story = Story(plan(), finding(A))
    story.happen(AskFailed(Key(1), "the model is gone", "upstream_failed", 1_002.0))
    assert (story.fate(), story.error) == (("failed", "upstream_failed"), "the model is gone")


def test_a_cancelled_run_stays_so() -> None:
    story = Story(plan(), finding(A))
    story.happen(CancelAsked(1_002.0))
    assert story.fate() == ("cancelled", None)
    assert story.happen(Answered(Key(1), '{"result": "x"}', 1_003.0)).told == ()
    assert story.happen(CancelAsked(1_003.0)).told == ()
    assert story.told[-1] == "run_cancelled"


# workflows

WRITES = role("b", "result: str, tone: str?", "text: str")


def test_a_workflow_gives_the_next_agent_the_fields_that_it_takes() -> None:
    first = role("a", gives="result: str, score: int", hand_off="B")
    story = Story(plan(kind="flock"), finding(first, WRITES))
    story.answer({"result": "facts", "score": 3})
    assert isinstance(story.run.phase, Asking)
    assert story.run.phase.inputs == {"result": "facts", "tone": None}
    story.answer({"text": "prose"})
    assert story.result == {"text": "prose"}
    assert body_of(story.run).path == ("a", "b")
    assert story.told.count("handed_off") == 1


def test_add_gives_all_that_is_known_and_the_newest_of_each_name() -> None:
    first = role("a", "query: str, tone: str", hand_off="b", merge="add")
    second = role("b", "query: str, tone: str, result: str", "x: str")
    inputs: JsonObject = {"query": "q", "tone": "dry"}
    story = Story(plan(kind="flock", inputs=inputs), finding(first, second))
    story.answer({"result": "r"})
    assert isinstance(story.run.phase, Asking)
    assert story.run.phase.inputs == {"query": "q", "tone": "dry", "result": "r"}


def test_a_run_of_one_agent_hands_nothing_off() -> None:
    story = Story(plan(), finding(role("a", hand_off="b"), WRITES)).answer({"result": "x"})
    assert story.result == {"result": "x"}


def test_a_field_that_nobody_gives_fails_the_workflow_and_is_named() -> None:
    first, second = role("a", hand_off="b"), role("b", "other: str")
    story = Story(plan(kind="flock"), finding(first, second)).answer({"result": "x"})
    assert story.fate() == ("failed", "invalid_inputs")
    assert story.error == "agent 'b': input `other` (str) is missing"
    assert len(story.run.steps) == 1


@pytest.mark.parametrize(
    ("second", "path"),
    [(role("b", hand_off="a"), "a -> b -> a"), (role("b", hand_off="b"), "a -> b -> b")],
)
def test_fixed_hand_offs_in_a_circle_are_refused_before_anybody_is_asked(second, path) -> None:
    story = Story(plan(kind="flock"), finding(role("a", hand_off="b"), second))
    assert story.fate() == ("failed", "cycle")
    assert path in story.error
    assert story.run.steps == ()


def test_a_hand_off_to_nobody_is_refused_before_anybody_is_asked() -> None:
    story = Story(plan(kind="flock"), finding(role("a", hand_off="ghost")))
    assert story.fate() == ("failed", "agent_not_found")
    assert story.error == "Agent 'ghost' not found: a hands off to it"


ROUTER = role("a", choices=("b", "C"))
C = role("c", "", "")


def choosing() -> Story:
    story = Story(plan(kind="flock"), finding(ROUTER, WRITES, C)).answer({"result": "x"})
    assert isinstance(story.run.phase, Choosing)
    return story


def test_the_model_chooses_who_goes_on() -> None:
    story = choosing()
    assert story.last.ask is not None
    assert story.last.ask.agent == "a"
    assert "- c: The c" in story.last.ask.messages[0].content
    story.answer({"agent": "c", "confidence": 0.9}).answer("the end")
    assert (story.result, body_of(story.run).path) == ({"result": "the end"}, ("a", "c"))


@pytest.mark.parametrize(
    "said", [{"agent": "none", "confidence": 1}, {"agent": "b", "confidence": 0.49}]
)
def test_nobody_or_a_choice_below_the_threshold_ends_the_workflow(said: JsonObject) -> None:
    story = choosing().answer(said)
    assert (story.fate(), story.result) == (("completed", None), {"result": "x"})


def test_a_choice_that_does_not_fit_is_mended_once_and_then_fails() -> None:
    story = choosing().answer({"agent": "zeus", "confidence": 1})
    assert story.fate() == ("running", None)
    story.answer("b, I would say")
    assert story.fate() == ("failed", "invalid_output")
    assert len(story.run.steps) == 1


@pytest.mark.parametrize("confidence", [90, 1.01, -0.1])
def test_a_choice_that_is_surer_than_sure_is_mended_too(confidence: float) -> None:
    """90 for 0.9 would pass any threshold, and so would 40 for 0.4."""
    story = choosing().answer({"agent": "b", "confidence": confidence})
    assert story.told[-1] == "answer_refused"
    story.answer({"agent": "b", "confidence": 0.5})
    assert isinstance(story.run.phase, Asking)


@pytest.mark.parametrize("confidence", [0.5, 1, 1.0])
def test_a_choice_as_sure_as_the_threshold_goes_on(confidence: float) -> None:
    story = choosing().answer({"agent": "b", "confidence": confidence})
    assert isinstance(story.run.phase, Asking)


def test_a_choice_that_is_named_twice_is_offered_once() -> None:
    router = role("a", choices=("b", "B"))
    story = Story(plan(kind="flock"), finding(router, WRITES)).answer({"result": "x"})
    assert isinstance(story.run.phase, Choosing)
    assert story.run.phase.choices == ("b",)


def test_an_error_is_kept_short_whatever_an_agent_says() -> None:
    story = Story(plan(), finding(A))
    story.happen(AskFailed(Key(1), "x" * 1_000_000, "agent_failed", 1_002.0))
    assert len(story.error) == MOST_DETAIL


def test_a_loop_ends_at_its_limit_with_an_error_that_names_the_path() -> None:
    loops = role("a", "result: str?, query: str?", choices=("a",))
    story = Story(plan(kind="flock", max_steps=3), finding(loops))
    while not story.run.is_final:
        story.answer({"result": "x"}).answer({"agent": "a", "confidence": 1})
    assert story.fate() == ("failed", "loop_limit")
    assert story.error == "the limit of 3 steps is reached: a -> a -> a -> a"


def test_a_signature_that_does_not_parse_fails_the_run_and_says_where() -> None:
    """A variable's value is read when the agent runs, so no check of the manifest sees it."""

    def find(_: str) -> Role:
        return role("a", takes="query: text")

    story = Story(plan(), find)
    assert story.fate() == ("failed", "bad_signature")
    assert "at character 8: `text` is no type" in story.error


def test_a_step_that_is_done_stays_so_when_the_next_signature_does_not_parse() -> None:
    def find(name: str) -> Role:
        return role("a", choices=("b",)) if name == "a" else role("b", takes="query: text")

    story = Story(plan(kind="flock"), find).answer({"result": "x"})
    assert story.fate() == ("failed", "bad_signature")
    assert body_of(story.run).path == ("a",)
    assert story.told[-2:] == ["step_completed", "run_failed"]


def test_an_agent_that_is_removed_in_mid_run_fails_it() -> None:
    story = Story(plan(kind="flock"), finding(role("a", hand_off="b"), WRITES))
    story.find = finding(role("a", hand_off="b"))
    story.answer({"result": "x"})
    assert (story.fate(), story.error) == (("failed", "agent_not_found"), "Agent 'b' not found")
