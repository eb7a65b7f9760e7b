"""`/v1/messages` over real HTTP: rows E13, E14 and E16 of ollama-api.md."""

from pathlib import Path

import pytest
import requests

from atoll.errors import Busy, UpstreamRefused, UpstreamTimeout
from atoll.ports import CallsDelta, Chunk, Done, TextDelta, ThinkingDelta
from atoll.wire.messages import Call
from tests.fakes.asking import IMAGE, THINKER
from tests.fakes.ports import USAGE, FakeModel, text
from tests.fakes.serving import EndlessModel, Served, serving
from tests.fakes.sse import sse_events

HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "weather", "description": "the weather", "input_schema": SCHEMA}


def say(served: Served, **body: object) -> requests.Response:
    wanted = {"model": "ghidraagent", "max_tokens": 64, "messages": HI} | body
    return requests.post(f"{served.url}/v1/messages", json=wanted, timeout=10)


def said_with(served: Served, *blocks: dict, role: str = "user") -> requests.Response:
    return say(served, messages=[{"role": role, "content": list(blocks)}])


def test_e13_a_message_with_usage(served: Served) -> None:
    answer = say(served, model="GhidraAgent")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["request-id"].startswith("req_")
    made = answer.json()
    assert made.pop("id").startswith("msg_")
    assert made == {
        "type": "message",
        "role": "assistant",
        "model": "GhidraAgent",
        "content": [{"type": "text", "text": "Hello wörld"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }


def test_e13_an_answer_cut_short_stops_for_max_tokens(tmp_path: Path) -> None:
    reply: list[Chunk] = [TextDelta("a"), Done("length", USAGE)]
    with serving(FakeModel(reply, reply), tmp_path) as served:
        assert say(served).json()["stop_reason"] == "max_tokens"
        delta = sse_events(say(served, stream=True))[-2][1]
        assert delta["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}


def test_e13_a_call_stops_for_tool_use(calling: tuple[Served, FakeModel]) -> None:
    served, _ = calling
    made = say(served, tools=[TOOL], tool_choice={"type": "any"}).json()
    assert made["stop_reason"] == "tool_use"
    assert made["content"][0] == {
        "type": "tool_use",
        "id": "call_aaaaaaaa",
        "name": "weather",
        "input": {"city": "Rome", "unit": "C", "a": 1},
    }


def test_e14_the_order_of_a_stream(served: Served) -> None:
    answer = say(served, stream=True)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["request-id"].startswith("req_")
    events = sse_events(answer)
    assert [name for name, _ in events] == [
        "message_start",
        "ping",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == data["type"] for name, data in events)
    assert events[0][1]["message"]["content"] == []
    assert events[-2][1]["usage"] == {"input_tokens": 7, "output_tokens": 3}


def test_e14_a_call_of_a_stream_has_its_input_as_json_text(
    calling: tuple[Served, FakeModel],
) -> None:
    served, _ = calling
    events = sse_events(say(served, tools=[TOOL], stream=True))
    starts = [data for name, data in events if name == "content_block_start"]
    deltas = [data["delta"] for name, data in events if name == "content_block_delta"]
    assert [(start["index"], start["content_block"]["input"]) for start in starts] == [
        (0, {}),
        (1, {}),
    ]
    assert deltas[0] == {
        "type": "input_json_delta",
        "partial_json": '{"city":"Rome","unit":"C","a":1}',
    }
    assert events[-2][1]["delta"]["stop_reason"] == "tool_use"


def test_thinking_is_a_block_that_ends_with_its_signature(thinker: Served) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    made = say(thinker, thinking=thinking).json()
    assert made["content"][0] == {"type": "thinking", "thinking": "hmm", "signature": ""}
    events = sse_events(say(thinker, thinking=thinking, stream=True))
    assert [data["delta"]["type"] for name, data in events if name == "content_block_delta"] == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
    ]
    assert [data["index"] for name, data in events if name == "content_block_stop"] == [0, 1]


def test_words_thoughts_and_calls_are_blocks_in_their_order(tmp_path: Path) -> None:
    reply: list[Chunk] = [
        TextDelta("a"),
        ThinkingDelta("b"),
        TextDelta("c"),
        CallsDelta((Call("c1", "weather", {}),)),
        Done("stop", USAGE),
    ]
    with serving(FakeModel(reply, info=THINKER), tmp_path) as served:
        events = sse_events(say(served, stream=True, tools=[TOOL]))
    starts = [data for name, data in events if name == "content_block_start"]
    kinds = [start["content_block"]["type"] for start in starts]
    assert kinds == ["text", "thinking", "text", "tool_use"]
    assert [start["index"] for start in starts] == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["enabled", "adaptive"])
def test_thinking_is_left_out_where_the_model_cannot(
    served: Served, model: FakeModel, kind: str
) -> None:
    """Claude's clients ask for it unasked; upstream relaxes instead of failing."""
    assert say(served, thinking={"type": kind, "budget_tokens": 1024}).status_code == 200
    assert say(served, thinking={"type": "disabled"}).status_code == 200
    assert [asked.think for asked in model.requests] == [None, False]


def test_a_thinking_model_is_told_to_think(tmp_path: Path) -> None:
    model = FakeModel(text("a"), text("b"), info=THINKER)
    with serving(model, tmp_path) as served:
        say(served, thinking={"type": "enabled", "budget_tokens": 1024})
        say(served)
    assert [asked.think for asked in model.requests] == [True, None]


def test_a_whole_conversation_reaches_the_model(tmp_path: Path) -> None:
    model = FakeModel(text("ok"), info=THINKER)
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": IMAGE},
    }
    conversation = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}},
                image,
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hmm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"z": 1, "a": 2}},
                {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "is_error": True,
                    "content": [{"type": "text", "text": "lost"}, image],
                },
                {"type": "text", "text": "and?"},
            ],
        },
    ]
    with serving(model, tmp_path) as served:
        system = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
        assert say(served, messages=conversation, system=system).status_code == 200
    head, user, assistant, first, second, last = model.requests[0].messages
    assert (head.role, head.content) == ("system", "Be brief.\nBe kind.")
    assert (user.content, user.images) == ("see", (IMAGE,))
    assert (assistant.content, assistant.thinking) == ("I look.", "hmm")
    assert assistant.calls == (Call("t1", "weather", {"z": 1, "a": 2}), Call("t2", "weather", {}))
    assert (first.role, first.content, first.call_id) == ("tool", "sunny", "t1")
    assert (second.content, second.images) == ("lost", (IMAGE,))
    assert (last.role, last.content) == ("user", "and?")


def test_options_tools_and_format_reach_the_model(tmp_path: Path) -> None:
    model = FakeModel(*[text("{}")] * 4, info=THINKER)
    wanted = {"type": "json_schema", "schema": SCHEMA}
    with serving(model, tmp_path) as served:
        say(
            served,
            max_tokens=9,
            temperature=0.5,
            top_p=0.4,
            top_k=3,
            stop_sequences=["x"],
            tools=[TOOL, {"type": "custom"} | TOOL | {"name": "other"}],
            tool_choice={"type": "tool", "name": "other"},
            metadata={"user_id": "u"},
        )
        say(served, output_config={"format": wanted})
        say(served, output_format=wanted)
        say(served, tools=[TOOL], tool_choice={"type": "none"})
    first, second, third, fourth = model.requests
    options = first.options
    assert (options.max_tokens, options.temperature, options.top_p) == (9, 0.5, 0.4)
    assert (options.top_k, options.stop) == (3, ("x",))
    assert [tool.name for tool in first.tools] == ["weather", "other"]
    assert (second.format, third.format, fourth.tools) == (SCHEMA, SCHEMA, ())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"max_tokens": None}, "max_tokens is required and must be positive"),
        ({"max_tokens": 0}, "max_tokens is required and must be positive"),
        ({"max_tokens": "9"}, "$.max_tokens"),
        ({"messages": []}, "messages is required"),
        ({"messages": None}, "messages is required"),
        ({"messages": "hi"}, "$.messages"),
        ({"messages": [{"role": "user", "content": []}]}, "messages is required"),
        ({"messages": [{"role": "user"}]}, "missing required field `content`"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "the role 'robot'"),
        ({"system": 3}, "$.system"),
        (
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
            "'bash_20250124' are not supported",
        ),
        ({"tools": [{"name": "weather"}]}, "needs an input_schema"),
        ({"tools": [{"name": "weather", "input_schema": []}]}, "$.tools[0].input_schema"),
        ({"thinking": {"type": "hard"}}, "thinking 'hard'"),
        ({"output_config": {"format": {"type": "xml"}}}, "output format of type 'xml'"),
    ],
)
def test_e16_a_bad_request_is_told_in_anthropics_envelope(
    served: Served, body: dict[str, object], message: str
) -> None:
    answer = say(served, **body, stream=True)
    told = answer.json()
    assert (answer.status_code, told["type"]) == (400, "error")
    assert told["error"]["type"] == "invalid_request_error"
    assert message in told["error"]["message"]
    assert told["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "document", "source": {}}, "Invalid value 'document' - at `$.messages[0]"),
        ({"text": "hi"}, "missing required field `type`"),
        ({"type": "tool_use", "id": "t", "name": "f", "input": [1]}, "Expected `object`"),
        ({"type": "image", "source": {"type": "url", "url": "http://x"}}, "sent as base64"),
        ({"type": "image", "source": {"type": "base64", "data": "%"}}, "not base64"),
        ({"type": "image", "source": {"type": "base64", "data": IMAGE}}, "not support vision"),
        ({"type": "tool_result", "tool_use_id": "t", "content": 3}, ".content"),
    ],
)
def test_e16_a_bad_block_is_told_too(served: Served, block: dict, message: str) -> None:
    answer = said_with(served, block)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"system":"\xff"}',
        b'{"output_format":{"type":"json_schema","schema":'
        + b'{"a":' * 100_000
        + b"1"
        + b"}" * 100_002,
    ],
)
def test_a_bad_body_is_a_bad_request(served: Served, body: bytes) -> None:
    answer = requests.post(f"{served.url}/v1/messages", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_e16_an_unknown_model_is_not_found(served: Served) -> None:
    answer = say(served, model="nope")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "type": "not_found_error",
        "message": "model 'nope' not found",
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (UpstreamRefused("nobody listens"), 502, "api_error"),
        (UpstreamTimeout("too late"), 504, "timeout_error"),
        (Busy("server busy"), 503, "overloaded_error"),
    ],
)
def test_e16_types_follow_the_status(
    tmp_path: Path, failure: Exception, status: int, kind: str, *, stream: bool
) -> None:
    with serving(FakeModel(failure), tmp_path) as served:
        answer = say(served, stream=stream)
        assert answer.status_code == status
        assert answer.json()["error"] == {"type": kind, "message": str(failure)}
        assert answer.json()["request_id"] == answer.headers["request-id"]


def test_a_failure_in_mid_stream_is_an_error_event(failing: Served) -> None:
    answer = say(failing, stream=True)
    name, data = sse_events(answer)[-1]
    assert name == data["type"] == "error"
    assert data["error"] == {"type": "api_error", "message": "the model's server went away"}
    assert data["request_id"] == answer.headers["request-id"]


def test_a_wrong_method_has_anthropics_envelope(served: Served) -> None:
    answer = requests.get(f"{served.url}/v1/messages", timeout=10)
    assert answer.status_code == 405
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_client_that_leaves_stops_the_model(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        body = {"model": "llama2", "max_tokens": 9, "messages": HI, "stream": True}
        url = f"{served.url}/v1/messages"
        with requests.post(url, json=body, stream=True, timeout=10) as answer:
            assert next(answer.iter_content(16))
        assert model.stopped.wait(5)


def test_a_token_is_shown_as_anthropics_clients_show_it(tmp_path: Path) -> None:
    """`api_key` becomes x-api-key, `auth_token` a bearer; a wrong bearer is not mended by a key."""
    wrong = [
        {},
        {"x-api-key": "wrong"},
        {"x-api-key": ""},
        {"x-api-key": "s3cret", "Authorization": "Bearer wrong"},
    ]
    body = {"model": "llama2", "max_tokens": 9, "messages": HI}
    with serving(FakeModel(text("a"), text("b")), tmp_path, token="s3cret") as served:
        url = f"{served.url}/v1/messages"
        for headers in ({"x-api-key": "s3cret"}, {"Authorization": "Bearer s3cret"}):
            assert requests.post(url, json=body, headers=headers, timeout=10).status_code == 200
        for headers in wrong:
            answer = requests.post(url, json=body, headers=headers, timeout=10)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
