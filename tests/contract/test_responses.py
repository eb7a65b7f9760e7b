"""`/v1/responses` over real HTTP: rows E11 and E12 of ollama-api.md, and OpenAI's own client."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import requests
from openai.types.responses import Response

from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Chunk, Done, TextDelta, ThinkingDelta
from atoll.wire.messages import Call
from tests.fakes.asking import IMAGE, THINKER
from tests.fakes.ports import USAGE, FakeModel, text
from tests.fakes.serving import EndlessModel, Served, serving
from tests.fakes.sse import sse_events

TOOL = {
    "type": "function",
    "name": "weather",
    "description": "the weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def respond(served: Served, **body: object) -> requests.Response:
    wanted = {"model": "ghidraagent", "input": "hi"} | body
    return requests.post(f"{served.url}/v1/responses", json=wanted, timeout=10)


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="ollama", max_retries=0) as client:
        yield client


def test_e11_a_stateless_answer_with_usage(client: openai.OpenAI) -> None:
    made = client.responses.create(model="GhidraAgent", input="hi", store=True)
    assert (made.object, made.status, made.model) == ("response", "completed", "GhidraAgent")
    assert made.output_text == "Hello wörld"
    assert made.output[0].type == "message"
    assert made.output[0].id.startswith("msg_")
    assert made.usage
    assert (made.usage.input_tokens, made.usage.output_tokens) == (7, 3)
    assert made.usage.total_tokens == 10
    assert made.to_dict()["store"] is False


def test_the_object_is_what_the_official_types_ask_for(thinker: Served) -> None:
    """The client itself checks nothing; its types do when they are made to."""
    asked = {
        "instructions": "be brief",
        "tools": [TOOL],
        "temperature": 0.5,
        "metadata": {"a": "b"},
    }
    made = Response.model_validate(respond(thinker, **asked).json(), strict=True)
    assert (made.instructions, made.temperature, made.metadata) == ("be brief", 0.5, {"a": "b"})
    assert made.tools[0].type == "function"
    assert (made.error, made.incomplete_details) == (None, None)


def test_e12_the_order_of_a_stream(served: Served) -> None:
    answer = respond(served, stream=True)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    events = sse_events(answer)
    assert [name for name, _ in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    assert all(name == data["type"] for name, data in events)


def test_e12_ids_are_the_same_in_every_event(served: Served) -> None:
    events = [data for _, data in sse_events(respond(served, stream=True))]
    responses = [data["response"] for data in events if "response" in data]
    items = {data["item"]["id"] for data in events if "item" in data}
    assert len({response["id"] for response in responses}) == 1
    assert len({response["created_at"] for response in responses}) == 1
    assert items == {data["item_id"] for data in events if "item_id" in data}
    assert responses[-1]["output"][0]["id"] in items
    assert [response["status"] for response in responses] == [
        "in_progress",
        "in_progress",
        "completed",
    ]


def test_the_official_client_streams(client: openai.OpenAI) -> None:
    with client.responses.stream(model="llama2", input="hi") as stream:
        said = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        assert said == stream.get_final_response().output_text == "Hello wörld"


def test_thinking_is_an_item_of_its_own_before_the_message(thinker: Served) -> None:
    kinds = [item["type"] for item in respond(thinker).json()["output"]]
    assert kinds == ["reasoning", "message"]
    events = sse_events(respond(thinker, stream=True, reasoning={"effort": "low"}))
    names = [name for name, _ in events]
    assert names[2:6] == [
        "response.output_item.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.output_item.done",
    ]
    reasoning, message = events[-1][1]["response"]["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "hmm"}]
    assert message["content"][0]["text"] == "yes"
    assert reasoning["id"] != message["id"]


def test_calls_are_items_with_text_as_arguments(calling: tuple[Served, FakeModel]) -> None:
    served, _ = calling
    first, second = respond(served, tools=[TOOL], tool_choice="required").json()["output"]
    assert (first["type"], first["call_id"], first["name"]) == (
        "function_call",
        "call_aaaaaaaa",
        "weather",
    )
    assert first["arguments"] == '{"city":"Rome","unit":"C","a":1}'
    assert first["id"] != second["id"]


def test_calls_of_a_stream_have_places_and_ids(calling: tuple[Served, FakeModel]) -> None:
    served, _ = calling
    events = sse_events(respond(served, tools=[TOOL], stream=True))
    names = [name for name, _ in events]
    assert names[2:6] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    done = [data for name, data in events if name == "response.output_item.done"]
    assert [data["output_index"] for data in done] == [0, 1]
    assert [data["item"] for data in done] == events[-1][1]["response"]["output"]


def test_a_whole_conversation_reaches_the_model(served: Served, model: FakeModel) -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}"}
    conversation = [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look."}],
        },
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "weather",
            "arguments": '{"city":"Rome"}',
        },
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "?"}],
        },
    ]
    assert respond(served, input=conversation, instructions="Be brief.").status_code == 200
    system, user, assistant, first, second = model.requests[0].messages
    assert (system.role, system.content) == ("system", "Be brief.")
    assert (user.role, user.content) == ("user", "weather?")
    assert assistant.content == "I look."
    assert assistant.calls == (Call("c1", "weather", {"city": "Rome"}), Call("c2", "weather", {}))
    assert (first.role, first.content, first.call_id, first.tool_name) == (
        "tool",
        "sunny",
        "c1",
        "weather",
    )
    assert second.content == "?"
    refused = respond(served, input=[{"role": "user", "content": [image]}])
    assert refused.status_code == 400
    assert "does not support vision" in refused.json()["error"]["message"]


def test_options_and_formats_reach_the_model(tmp_path: Path) -> None:
    model = FakeModel(text("{}"), text("{}"), text("{}"), info=THINKER)
    with serving(model, tmp_path) as served:
        wanted = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
        made = respond(
            served,
            max_output_tokens=9,
            temperature=0.5,
            top_p=0.4,
            text={"format": wanted},
            reasoning={"effort": "high"},
        )
        assert made.json()["text"] == {"format": wanted}
        respond(served, text={"format": {"type": "json_object"}}, tools=[TOOL], tool_choice="none")
        respond(served, text={"format": {"type": "text"}}, tools=[TOOL], tool_choice="auto")
    first, second, third = model.requests
    options = first.options
    assert (options.max_tokens, options.temperature, options.top_p) == (9, 0.5, 0.4)
    assert (first.format, first.think) == (SCHEMA, "high")
    assert (second.format, second.tools) == ("json", ())
    assert (third.format, [tool.name for tool in third.tools]) == (None, ["weather"])


def test_an_answer_cut_short_is_incomplete(tmp_path: Path) -> None:
    reply: list[Chunk] = [TextDelta("a"), Done("length", USAGE)]
    with serving(FakeModel(reply, reply), tmp_path) as served:
        made = respond(served).json()
        assert made["status"] == "incomplete"
        assert made["incomplete_details"] == {"reason": "max_output_tokens"}
        assert made["output"][0]["status"] == "incomplete"
        name, data = sse_events(respond(served, stream=True))[-1]
        assert name == "response.incomplete"
        assert data["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_answer_without_a_word_has_an_empty_message(tmp_path: Path) -> None:
    reply: list[Chunk] = [Done("stop", USAGE)]
    with serving(FakeModel(reply, reply), tmp_path) as served:
        assert respond(served).json()["output"][0]["content"][0]["text"] == ""
        last = sse_events(respond(served, stream=True))[-1][1]["response"]
        assert [item["type"] for item in last["output"]] == ["message"]


def test_what_was_said_before_a_failure_is_kept_in_response_failed(failing: Served) -> None:
    name, data = sse_events(respond(failing, stream=True))[-1]
    assert (name, data["response"]["status"]) == ("response.failed", "failed")
    assert data["response"]["error"] == {
        "code": "server_error",
        "message": "the model's server went away",
    }
    [item] = data["response"]["output"]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Once")


def test_a_failure_before_the_first_byte_has_its_true_status(tmp_path: Path) -> None:
    down = UpstreamRefused("nobody listens")
    with serving(FakeModel(down, down), tmp_path) as served:
        for stream in (False, True):
            answer = respond(served, stream=stream)
            assert answer.status_code == 502
            assert answer.json()["error"] == {
                "message": "nobody listens",
                "type": "api_error",
                "param": None,
                "code": None,
            }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": ""}, "model is required"),
        ({"input": ""}, "input is required"),
        ({"input": None}, "input is required"),
        ({"input": []}, "input is required"),
        ({"input": 3}, "$.input"),
        ({"input": [{"type": "reasoning"}]}, "input is required"),
        ({"input": [{"type": "web_search_call"}]}, "'web_search_call' are not supported"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "nothing is stored"),
        ({"input": [{"type": "function_call", "arguments": "{}"}]}, "needs the name"),
        (
            {"input": [{"type": "function_call", "name": "f", "arguments": "[1]"}]},
            "not a JSON object",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "'input_file' is not supported",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}
                ]
            },
            "image URLs are not currently supported",
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id is not supported"),
        ({"conversation": "conv_1"}, "conversation is not supported"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt is not supported"),
        ({"background": True}, "background is not supported"),
        ({"tools": [{"type": "web_search"}]}, "tools of type 'web_search' are not supported"),
        ({"tools": [{"type": "function"}]}, "needs a name"),
        ({"text": {"format": {"type": "xml"}}}, "text.format 'xml'"),
        ({"text": {"format": {"type": "json_schema"}}}, "needs a schema"),
        ({"reasoning": {"effort": "much"}}, "reasoning effort 'much'"),
        ({"reasoning": {"effort": "low"}}, "does not support thinking"),
        ({"max_output_tokens": "9"}, "$.max_output_tokens"),
    ],
)
def test_a_bad_request_is_told_in_openais_envelope(
    served: Served, body: dict[str, object], message: str
) -> None:
    answer = respond(served, **body, stream=True)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"input":"\xff"}',
        b'{"conversation":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_bad_body_is_a_bad_request(served: Served, body: bytes) -> None:
    answer = requests.post(f"{served.url}/v1/responses", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        client.responses.create(model="nope", input="hi")


def test_agents_own_thinking_and_calls_in_turn_are_separate_items(tmp_path: Path) -> None:
    """Words, then thinking, then words: three items, none of them mixed."""
    reply: list[Chunk] = [
        TextDelta("a"),
        ThinkingDelta("b"),
        TextDelta("c"),
        CallsDelta((Call("c1", "weather", {}),)),
        Done("stop", USAGE),
    ]
    with serving(FakeModel(reply, info=THINKER), tmp_path) as served:
        events = sse_events(respond(served, stream=True, tools=[TOOL]))
    output = events[-1][1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "reasoning", "message", "function_call"]
    added = [data for name, data in events if name == "response.output_item.added"]
    assert [data["output_index"] for data in added] == [0, 1, 2, 3]
    assert len({item["id"] for item in output}) == 4


def test_a_client_that_leaves_stops_the_model(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        body = {"model": "llama2", "input": "hi", "stream": True}
        url = f"{served.url}/v1/responses"
        with requests.post(url, json=body, stream=True, timeout=10) as answer:
            assert next(answer.iter_content(16))
        assert model.stopped.wait(5)
