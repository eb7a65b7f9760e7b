"""One recorded turn in every dialect, byte for byte.

What must hold:
- the recording is what the runner emits today, event for event;
- each dialect's stream and its answer in one piece are the files in `golden/`, which a
  person has looked at; whoever changes them on purpose runs
  `python -m tests.fakes.recording` and reads the difference;
- all of them tell the same answer and the same tokens, whatever they leave out;
- the steps of the agent (plan, calls, results) are told by Kawai and fleet-rlm alone, and
  are in nobody's answer.
"""

import json
from typing import Any

import pytest

from atoll.wire.events import Failure, Planning, Reasoning, RunEnd, Token, ToolCall, ToolResult
from tests.fakes.recording import DIALECTS, EVENTS, GOLDEN, read, record

ANSWER = "Turku has -3.5 °C; of Oulu I know nothing. ☃"
SAID = "Let me look. " + ANSWER
"""With what was said before the calls: who reads a stream has seen it."""


@pytest.mark.anyio
async def test_the_recording_is_what_the_runner_emits() -> None:
    assert await record() == read()


def test_the_recording_has_all_that_a_turn_can_have_but_a_failure() -> None:
    events = read()
    calls = [event for event in events if isinstance(event, ToolCall)]
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [event.call_id for event in calls] == [event.call_id for event in results]
    assert [event.failed for event in results] == [False, True]
    kinds = {type(event) for event in events}
    assert {Planning, Reasoning, Token} < kinds
    assert Failure not in kinds
    assert [type(event) for event in events].index(RunEnd) == len(events) - 1


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_tells_it_as_it_always_has(name: str) -> None:
    assert DIALECTS[name](read()).decode() == (GOLDEN / name).read_text("utf-8")


def test_no_file_is_left_of_a_dialect_that_is_gone() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {EVENTS.name, *DIALECTS}


PLAIN = ("ollama", "openai", "anthropic")
"""Dialects in which an agent is a model."""


@pytest.mark.parametrize("name", [name for name in DIALECTS if name.startswith(PLAIN)])
def test_the_agents_own_steps_are_not_in_the_answer(name: str) -> None:
    text = (GOLDEN / name).read_text("utf-8")
    assert not any(word in text for word in ("snöslask", "no such station", "Compare", "maps"))
    assert "call_0000000a" not in text


def whole(name: str) -> Any:
    return json.loads((GOLDEN / name).read_bytes())


def test_all_dialects_tell_the_same_answer() -> None:
    """As a client of each puts it together."""
    items = [one for one in whole("openai-responses.json")["output"] if one["type"] == "message"]
    blocks = whole("anthropic-messages.json")["content"]
    told = [
        whole("ollama-chat.json")["message"]["content"],
        whole("ollama-generate.json")["response"],
        whole("openai-chat-completions.json")["choices"][0]["message"]["content"],
        whole("openai-completions.json")["choices"][0]["text"],
        "".join(one["content"][0]["text"] for one in items),
        "".join(one.get("text", "") for one in blocks),
    ]
    assert told == [SAID] * len(told)


def test_the_answer_of_a_turn_is_that_of_its_last_step() -> None:
    end = read()[-1]
    assert isinstance(end, RunEnd)
    told = whole("kawai-and-fleet-rlm-chat.json")
    assert told["answer"] == told["response"] == end.answer == ANSWER
    assert [step["tool_name"] for step in told["trajectory"]] == ["weather", "weather"]
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (11 + 42 + 77, 9 + 17 + 21)
