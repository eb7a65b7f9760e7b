"""Logprobs over real HTTP: row B19, and the same of chat and /v1/chat/completions."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.script import Script, Turn
from atoll.adapters.scripted import ScriptedModel
from atoll.ports import Chunk, Done, TextDelta, ThinkingDelta
from atoll.wire.logprobs import Alternative, Logprob
from tests.fakes.asking import chat, error, generate, lines, post
from tests.fakes.ports import USAGE, FakeModel
from tests.fakes.serving import Served, serving

HM = Logprob("hm", -0.5)
HI = Logprob("Hi", -0.1, (72, 105), (Alternative("Hi", -0.1, (72, 105)), Alternative("Yo", -2.5)))
NATIVE = [
    {"token": "hm", "logprob": -0.5},
    {
        "token": "Hi",
        "logprob": -0.1,
        "bytes": [72, 105],
        "top_logprobs": [
            {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]},
            {"token": "Yo", "logprob": -2.5},
        ],
    },
]
OPENAI = [
    {"token": "hm", "logprob": -0.5, "bytes": None, "top_logprobs": []},
    {
        "token": "Hi",
        "logprob": -0.1,
        "bytes": [72, 105],
        "top_logprobs": [
            {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]},
            {"token": "Yo", "logprob": -2.5, "bytes": None},
        ],
    },
]
ASKED = {"logprobs": True, "top_logprobs": 2}


@pytest.fixture
def model() -> FakeModel:
    reply: list[Chunk] = [ThinkingDelta("hm", (HM,)), TextDelta("Hi", (HI,)), Done("stop", USAGE)]
    return FakeModel(*[reply] * 3)


@pytest.fixture
def served(model: FakeModel, tmp_path: Path) -> Iterator[Served]:
    with serving(model, tmp_path) as served:
        yield served


def completion(served: Served, **body: object) -> list[dict[str, object]]:
    """The choices of an answer, streamed or not."""
    hi = [{"role": "user", "content": "hi"}]
    answer = post(served, "/v1/chat/completions", model="llama2", messages=hi, **body)
    texts = answer.text.split("\n\n") if body.get("stream") else [answer.text]
    parts = [text.removeprefix("data: ") for text in texts]
    return [json.loads(part)["choices"][0] for part in parts if part.startswith("{")]


def test_b19_each_chunk_has_those_of_its_tokens(served: Served, model: FakeModel) -> None:
    for ask in (generate, chat):
        chunks = lines(ask(served, **ASKED))
        assert [chunk.get("logprobs") for chunk in chunks] == [[NATIVE[0]], [NATIVE[1]], None]
    assert [(r.logprobs, r.top_logprobs) for r in model.requests] == [(True, 2)] * 2


def test_b19_an_answer_in_one_piece_has_them_all(served: Served) -> None:
    for ask in (generate, chat):
        assert ask(served, stream=False, **ASKED).json()["logprobs"] == NATIVE


def test_v1_has_them_in_the_choice(served: Served) -> None:
    (choice,) = completion(served, **ASKED)
    assert choice["logprobs"] == {"content": OPENAI}
    chunks = completion(served, stream=True, **ASKED)
    told = [chunk.get("logprobs") for chunk in chunks]
    assert told == [{"content": [OPENAI[0]]}, {"content": [OPENAI[1]]}, None]


def test_the_official_client_reads_them(served: Served) -> None:
    base = f"{served.url}/v1"
    with openai.OpenAI(base_url=base, api_key="ollama", max_retries=0) as client:
        made = client.chat.completions.create(
            model="llama2",
            messages=[{"role": "user", "content": "hi"}],
            logprobs=True,
            top_logprobs=2,
        )
    told = made.choices[0].logprobs
    assert told
    assert told.content
    assert [top.token for top in told.content[1].top_logprobs] == ["Hi", "Yo"]


def test_where_the_back_end_has_none_the_key_is_absent(tmp_path: Path) -> None:
    plain: list[Chunk] = [TextDelta("Hi"), Done("stop", USAGE)]
    with serving(FakeModel(*[plain] * 3), tmp_path) as served:
        assert not any("logprobs" in chunk for chunk in lines(chat(served, **ASKED)))
        assert "logprobs" not in generate(served, stream=False, **ASKED).json()
        assert all("logprobs" not in choice for choice in completion(served, **ASKED))


@pytest.mark.parametrize("number", [21, -1])
def test_d15_too_many_alternatives_are_refused_everywhere(served: Served, number: int) -> None:
    wanted = "top_logprobs must be between 0 and 20"
    for ask in (generate, chat):
        assert error(ask(served, top_logprobs=number)) == (400, wanted)
    answer = post(served, "/v1/chat/completions", model="llama2", top_logprobs=number)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, wanted)


def test_b19_a_scripted_model_has_some(tmp_path: Path) -> None:
    script = Script((Turn(text="Hello wörld"),))
    model = ScriptedModel(script, "scripted", SystemClock())
    with serving(model, tmp_path) as served:
        once, again = (generate(served, stream=False, **ASKED).json() for _ in range(2))
        bare = generate(served, stream=False, logprobs=True).json()["logprobs"]
        unasked = generate(served, stream=False).json()
    items = once["logprobs"]
    assert items == again["logprobs"]
    assert "".join(item["token"] for item in items) == once["response"] == "Hello wörld"
    assert [bytes(item["bytes"]).decode() for item in items] == ["Hello ", "wörld"]
    assert all(item["logprob"] < 0 for item in items)
    assert all(len(item["top_logprobs"]) == 2 for item in items)
    assert all("top_logprobs" not in item for item in bare)
    assert "logprobs" not in unasked
