"""What holds for the streams of /v1/responses and /v1/messages, whatever a turn says."""

import json
from itertools import product

import pytest

from atoll.http.answer import gathered
from atoll.http.anthropic.projection import MessageProjection
from atoll.http.responses.objects import ReasoningOut, ResponseOut, TextOut
from atoll.http.responses.projection import ResponseProjection
from atoll.http.responses.wire import TextFormat
from atoll.http.sse import sse
from atoll.wire.events import (
    Event,
    Failure,
    Reasoning,
    RunEnd,
    RunStart,
    StepStart,
    Token,
    ToolCall,
    ToolResult,
)
from atoll.wire.messages import Usage

USAGE = Usage(prompt_tokens=7, completion_tokens=3)
END = RunEnd("", "stop", USAGE, 1)
CUT = RunEnd("", "length", USAGE, 1)
BROKEN = Failure("upstream_failed", "it broke", "upstream", 502)
SAID: dict[str, Event] = {
    "t": Token("wörd"),
    "r": Reasoning("hm"),
    "c": ToolCall("c1", "weather", {"z": 1, "a": 2}, "client"),
    "o": ToolCall("o1", "own", {}),
}
TURNS = ["".join(letters) for size in range(5) for letters in product(SAID, repeat=size)]
FRAME = ResponseOut(
    id="resp_abc",
    created_at=1,
    instructions=None,
    max_output_tokens=None,
    metadata={},
    model="m",
    parallel_tool_calls=True,
    reasoning=ReasoningOut(None),
    temperature=None,
    text=TextOut(TextFormat("text")),
    tool_choice="auto",
    tools=(),
    top_p=None,
)


def turn(letters: str, last: Event = END) -> list[Event]:
    return [RunStart("run", "m", "hi"), StepStart(0), *(SAID[x] for x in letters), last]


def response_events(events: list[Event]) -> list[dict]:
    return read(ResponseProjection(FRAME), events)


def message_events(events: list[Event]) -> list[dict]:
    return read(MessageProjection("msg_1", "m", "req_1"), events)


def read(projection, events: list[Event]) -> list[dict]:
    stream = b"".join(map(projection.line, events)).decode()
    parts = [part.split("\ndata: ") for part in stream.split("\n\n") if part]
    assert all(name == f"event: {json.loads(data)['type']}" for name, data in parts)
    return [json.loads(data) for _, data in parts]


def of(events: list[dict], kind: str) -> list[dict]:
    return [event for event in events if event["type"] == kind]


@pytest.mark.parametrize("letters", TURNS)
def test_a_response_is_what_its_events_said(letters: str) -> None:
    """Numbers without a gap, each item opened and closed once, and all of them in the end."""
    events = response_events(turn(letters))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added, done = of(events, "response.output_item.added"), of(events, "response.output_item.done")
    assert [e["item"]["id"] for e in added] == [e["item"]["id"] for e in done]
    assert [e["output_index"] for e in done] == list(range(len(done)))
    [last] = of(events, "response.completed")
    assert last is events[-1]
    assert last["response"]["output"] == [e["item"] for e in done] != []
    said = "".join(e["delta"] for e in of(events, "response.output_text.delta"))
    assert said == "wörd" * letters.count("t")
    assert len(of(events, "response.function_call_arguments.done")) == letters.count("c")


@pytest.mark.parametrize("letters", TURNS)
def test_a_message_is_whole_blocks(letters: str) -> None:
    """One block at a time, counted from 0, each with its own kind of delta."""
    events = message_events(turn(letters))
    assert [e["type"] for e in events[:2]] == ["message_start", "ping"]
    assert [e["type"] for e in events[-2:]] == ["message_delta", "message_stop"]
    open_block, places = None, 0
    kinds = {"text_delta": "text", "input_json_delta": "tool_use"}
    for event in events[2:-2]:
        assert event["index"] == places
        if event["type"] == "content_block_start":
            assert open_block is None
            open_block = event["content_block"]["type"]
        elif event["type"] == "content_block_delta":
            assert kinds.get(event["delta"]["type"], "thinking") == open_block
        else:
            open_block, places = None, places + 1
    assert open_block is None
    reason = "tool_use" if "c" in letters else "end_turn"
    assert events[-2]["delta"]["stop_reason"] == reason


@pytest.mark.parametrize("letters", ["", "t", "r", "rt", "rtc", "otc"])
@pytest.mark.parametrize("last", [END, CUT])
def test_one_piece_and_stream_tell_the_same(letters: str, last: RunEnd) -> None:
    events = turn(letters, last)
    whole = json.loads(ResponseProjection(FRAME).whole(gathered(events)))
    streamed = response_events(events)[-1]["response"]
    streamed_text = [item for item in streamed["output"] if item["type"] != "message"]
    assert [item for item in whole["output"] if item["type"] != "message"] == streamed_text
    assert (whole["status"], whole["usage"]) == (streamed["status"], streamed["usage"])
    message = json.loads(MessageProjection("msg_1", "m", "req_1").whole(gathered(events)))
    ended = message_events(events)[-2]
    assert (message["stop_reason"], message["usage"]) == (
        ended["delta"]["stop_reason"],
        ended["usage"],
    )


@pytest.mark.parametrize("letters", ["t", "r", "rt", "tc"])
def test_a_failure_is_the_last_event_of_both(letters: str) -> None:
    response = response_events(turn(letters, BROKEN))[-1]
    assert (response["type"], response["response"]["status"]) == ("response.failed", "failed")
    assert len(response["response"]["output"]) == len(letters)
    message = message_events(turn(letters, BROKEN))[-1]
    assert (message["type"], message["error"]["message"]) == ("error", "it broke")


def test_nothing_goes_out_before_something_is_said() -> None:
    """So that a turn which fails early still gets its true status."""
    silent: list[Event] = [*turn("o")[:-1], ToolResult("o1", "own", "ok")]
    for projection in (ResponseProjection(FRAME), MessageProjection("msg_1", "m", "req_1")):
        assert b"".join(map(projection.line, silent)) == b""


def test_an_event_may_go_without_a_name() -> None:
    assert sse(b"{}") == b"data: {}\n\n"
    assert sse(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
