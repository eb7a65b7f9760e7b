"""`/v1/completions` over real HTTP: row E10 of ollama-api.md, and OpenAI's own client."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import requests

from atoll.ports import Chunk, Done, TextDelta, ThinkingDelta
from tests.fakes.ports import USAGE, FakeModel
from tests.fakes.serving import EndlessModel, Served, serving


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="ollama", max_retries=0) as client:
        yield client


def complete(served: Served, **body: object) -> requests.Response:
    wanted = {"model": "ghidraagent", "prompt": "hi"} | body
    return requests.post(f"{served.url}/v1/completions", json=wanted, timeout=10)


def events(answer: requests.Response) -> list[str]:
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    return [part.removeprefix("data: ") for part in parts]


def test_e10_a_text_completion_with_usage(client: openai.OpenAI) -> None:
    made = client.completions.create(model="GhidraAgent", prompt="hi")
    assert (made.object, made.model) == ("text_completion", "GhidraAgent")
    assert made.id.startswith("cmpl-")
    assert (made.choices[0].text, made.choices[0].finish_reason) == ("Hello wörld", "stop")
    assert made.usage
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


def test_e10_the_order_of_a_stream(served: Served) -> None:
    answer = complete(served, stream=True)
    assert answer.headers["content-type"] == "text/event-stream"
    *chunks, done = events(answer)
    assert done == "[DONE]"
    made = [json.loads(chunk) for chunk in chunks]
    assert len({(c["id"], c["created"], c["object"]) for c in made}) == 1
    assert [c["choices"][0]["finish_reason"] for c in made] == [None, None, None, "stop"]
    assert [c["choices"][0]["text"] for c in made][-1] == ""
    assert not any("usage" in c for c in made)


def test_usage_comes_in_a_chunk_without_choices_when_asked_for(served: Served) -> None:
    answer = complete(served, stream=True, stream_options={"include_usage": True})
    last = json.loads(events(answer)[-2])
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_the_official_client_streams(client: openai.OpenAI) -> None:
    with client.completions.create(model="llama2", prompt="hi", stream=True) as stream:
        assert "".join(chunk.choices[0].text for chunk in stream) == "Hello wörld"


def test_prompt_and_options_reach_the_model(served: Served, model: FakeModel) -> None:
    answer = complete(
        served, prompt=["Once"], max_tokens=9, temperature=0.5, top_p=0.4, stop="x", seed=3,
        n=2, echo=True, best_of=3, logprobs=2, suffix="", user="u",
    )  # fmt: skip
    assert answer.status_code == 200
    assert len(answer.json()["choices"]) == 1
    [asked] = model.requests
    assert [(m.role, m.content) for m in asked.messages][-1] == ("user", "Once")
    options = asked.options
    assert (options.max_tokens, options.temperature, options.top_p) == (9, 0.5, 0.4)
    assert (options.stop, options.seed) == (("x",), 3)


def test_an_answer_cut_short_ends_with_length_and_has_no_thinking(tmp_path: Path) -> None:
    reply: list[Chunk] = [ThinkingDelta("hmm"), TextDelta("a"), Done("length", USAGE)]
    with serving(FakeModel(reply, reply), tmp_path) as served:
        choice = complete(served).json()["choices"][0]
        assert choice == {"text": "a", "index": 0, "finish_reason": "length"}
        assert "hmm" not in complete(served, stream=True).text


@pytest.mark.parametrize("prompt", ["", None, []])
def test_an_empty_prompt_loads_the_model(served: Served, model: FakeModel, prompt: object) -> None:
    made = complete(served, prompt=prompt).json()
    assert made["choices"] == [{"text": "", "index": 0, "finish_reason": "load"}]
    *_, done = events(complete(served, prompt=prompt, stream=True))
    assert done == "[DONE]"
    assert model.requests == []
    assert served.agent.loaded_until is not None


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], 3, {"text": "a"}])
def test_other_prompts_are_refused_with_what_to_send(served: Served, prompt: object) -> None:
    answer = complete(served, prompt=prompt)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "a string, or a list of one" in answer.json()["error"]["message"]


def test_a_suffix_is_refused_in_ollamas_words(served: Served) -> None:
    answer = complete(served, suffix="end")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "ghidraagent:latest does not support insert"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 1000, b'{"max_tokens":"9"}'])
def test_a_bad_body_is_a_bad_request(served: Served, body: bytes) -> None:
    answer = requests.post(f"{served.url}/v1/completions", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_and_a_wrong_method_have_openais_envelope(served: Served) -> None:
    answer = complete(served, model="nope", stream=True)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "model 'nope' not found"
    wrong = requests.get(f"{served.url}/v1/completions", timeout=10)
    assert wrong.status_code == 405
    assert "error" in wrong.json()


def test_a_failure_in_mid_stream_is_an_error_event(failing: Served) -> None:
    *_, last = events(complete(failing, stream=True))
    assert json.loads(last)["error"]["type"] == "api_error"


def test_a_client_that_leaves_stops_the_model(tmp_path: Path) -> None:
    model = EndlessModel()
    with serving(model, tmp_path) as served:
        body = {"model": "llama2", "prompt": "hi", "stream": True}
        url = f"{served.url}/v1/completions"
        with requests.post(url, json=body, stream=True, timeout=10) as answer:
            assert next(answer.iter_content(16))
        assert model.stopped.wait(5)
