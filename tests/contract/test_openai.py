"""The OpenAI dialect over real HTTP: rows E1-E7 and E15 of ollama-api.md, and its own client."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import requests

from atoll.errors import UpstreamRefused
from atoll.ports import CallsDelta, Chunk, Done, ModelInfo, TextDelta, ThinkingDelta
from atoll.wire.messages import Call
from tests.fakes.ports import USAGE, FakeModel, text
from tests.fakes.serving import EndlessModel, Served, serving

ABLE = ModelInfo(
    backend="scripted", model="able", capabilities=("completion", "tools", "thinking", "vision")
)
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(*[text("Hel", "lo")] * 4, info=ABLE)


@pytest.fixture
def served(model: FakeModel, tmp_path: Path) -> Iterator[Served]:
    with serving(model, tmp_path) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="ollama", max_retries=0) as client:
        yield client


def complete(served: Served, **body: object) -> requests.Response:
    wanted = {"model": "ghidraagent", "messages": HI} | body
    return requests.post(f"{served.url}/v1/chat/completions", json=wanted, timeout=10)


def events(answer: requests.Response) -> list[str]:
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    return [part.removeprefix("data: ") for part in parts]


def test_e1_e2_models(served: Served, client: openai.OpenAI) -> None:
    listed = client.models.list().data
    assert [(m.id, m.object, m.owned_by) for m in listed] == [
        ("ghidraagent", "model", "library"),
        ("llama2", "model", "library"),
    ]
    assert client.models.retrieve("GhidraAgent:latest").id == "GhidraAgent:latest"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("hf.co/some/thing")


def test_e3_a_completion_with_usage(client: openai.OpenAI) -> None:
    made = client.chat.completions.create(model="GhidraAgent", messages=HI)
    assert made.object == "chat.completion"
    assert made.model == "GhidraAgent"
    assert made.choices[0].message.content == "Hello"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


def test_e4_the_order_of_a_stream(served: Served) -> None:
    answer = complete(served, stream=True)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    *chunks, done = events(answer)
    assert done == "[DONE]"
    made = [json.loads(chunk) for chunk in chunks]
    assert len({(c["id"], c["created"], c["system_fingerprint"]) for c in made}) == 1
    assert ["role" in c["choices"][0]["delta"] for c in made] == [True, False, False]
    assert [c["choices"][0]["finish_reason"] for c in made] == [None, None, "stop"]
    assert not any("usage" in c for c in made)


def test_e5_usage_only_when_asked_for(served: Served) -> None:
    answer = complete(served, stream=True, stream_options={"include_usage": True})
    last = json.loads(events(answer)[-2])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0


def test_the_official_client_streams(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="llama2", messages=HI, stream=True) as stream:
        assert "".join(c.choices[0].delta.content or "" for c in stream) == "Hello"


@pytest.fixture
def calling(tmp_path: Path) -> Iterator[Served]:
    calls = (Call("call_1", "weather", {"city": "Rome"}), Call("call_2", "weather", {}))
    reply: list[Chunk] = [CallsDelta(calls), Done("stop", USAGE)]
    with serving(FakeModel(reply, reply, info=ABLE), tmp_path) as served:
        yield served


def test_e6_tool_calls_have_text_as_arguments(calling: Served) -> None:
    answer = complete(calling, tools=[TOOL], tool_choice="required").json()["choices"][0]
    assert answer["finish_reason"] == "tool_calls"
    first, second = answer["message"]["tool_calls"]
    assert json.loads(first["function"]["arguments"]) == {"city": "Rome"}
    assert (first["id"], first["type"], second["index"]) == ("call_1", "function", 1)


def test_e7_parallel_calls_of_a_stream_keep_index_and_id(calling: Served) -> None:
    *chunks, _ = events(complete(calling, tools=[TOOL], stream=True))
    deltas = [json.loads(chunk)["choices"][0] for chunk in chunks]
    calls = [call for d in deltas for call in d["delta"].get("tool_calls", [])]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "call_1"), (1, "call_2")]
    assert deltas[-1]["finish_reason"] == "tool_calls"


def test_a_tools_result_and_parts_reach_the_model(served: Served, model: FakeModel) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "w", "arguments": '{"a":1}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    complete(
        served,
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "what"}, image]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
        ],
    )
    system, user, assistant, tool = model.requests[0].messages
    assert (system.role, user.content, user.images) == ("system", "what", ("AAAA",))
    assert assistant.calls == (Call("call_1", "w", {"a": 1}),)
    assert (tool.role, tool.call_id) == ("tool", "call_1")


def test_options_and_formats_reach_the_model(served: Served, model: FakeModel) -> None:
    schema = {"type": "object"}
    complete(
        served,
        temperature=0.5,
        max_completion_tokens=9,
        stop="x",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        reasoning_effort="xhigh",
    )
    complete(served, response_format={"type": "json_object"}, max_tokens=5)
    first, second = model.requests
    options = first.options
    assert (options.temperature, options.max_tokens, options.stop) == (0.5, 9, ("x",))
    assert (first.format, first.think) == (schema, "max")
    assert (second.format, second.options.max_tokens) == ("json", 5)


def test_thinking_is_reasoning(tmp_path: Path) -> None:
    reply: list[Chunk] = [ThinkingDelta("hmm"), TextDelta("yes"), Done("stop", USAGE)]
    with serving(FakeModel(reply, reply, info=ABLE), tmp_path) as served:
        message = complete(served).json()["choices"][0]["message"]
        assert message == {"role": "assistant", "content": "yes", "reasoning": "hmm"}
        deltas = [json.loads(e) for e in events(complete(served, stream=True))[:-1]]
        assert deltas[0]["choices"][0]["delta"]["reasoning"] == "hmm"


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ({"messages": []}, 400, "invalid_request_error", "[] is too short - 'messages'"),
        ({"model": "nope"}, 404, "not_found_error", "model 'nope' not found"),
        ({"model": ""}, 400, "invalid_request_error", "model is required"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}],
                    }
                ]
            },
            400,
            "invalid_request_error",
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
    ],
)
def test_e15_errors_have_openais_envelope(
    served: Served, body: dict[str, object], status: int, kind: str, message: str
) -> None:
    answer = complete(served, **body)
    assert answer.status_code == status
    wanted = {"message": message, "type": kind, "param": None, "code": None}
    assert answer.json() == {"error": wanted}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 3000])
def test_a_bad_body_is_a_bad_request(served: Served, body: bytes) -> None:
    answer = requests.post(f"{served.url}/v1/chat/completions", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_failure_in_mid_stream_is_an_error_event_and_raises(tmp_path: Path) -> None:
    class Dying(FakeModel):
        async def stream(self, request):
            yield TextDelta("Once")
            raise UpstreamRefused("the model's server went away")

    with serving(Dying(), tmp_path) as served:
        *_, last = events(complete(served, stream=True))
        assert json.loads(last)["error"]["type"] == "api_error"
        base = f"{served.url}/v1"
        with openai.OpenAI(base_url=base, api_key="x", max_retries=0) as client:
            stream = client.chat.completions.create(model="llama2", messages=HI, stream=True)
            with stream, pytest.raises(openai.APIError, match="went away"):
                list(stream)


def test_a_client_that_leaves_stops_the_model(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        body = {"model": "llama2", "messages": HI, "stream": True}
        url = f"{served.url}/v1/chat/completions"
        with requests.post(url, json=body, stream=True, timeout=10) as answer:
            assert next(answer.iter_content(16))
        assert model.stopped.wait(5)
