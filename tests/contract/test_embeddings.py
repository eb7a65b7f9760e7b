"""Embeddings in three dialects over real HTTP: rows D4, D6, D11, D14, D16, E8 and E9."""

import asyncio
import base64
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import ollama
import openai
import pytest
import requests

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest, Resources
from atoll.errors import AtollError, ClientError, NoEmbeddings, UpstreamRefused
from atoll.ports import Embedded, EmbedRequest, ModelInfo
from atoll.wire.messages import Options
from tests.fakes.asking import chat, error, generate, post, raw_request, wait_for
from tests.fakes.ports import FakeModel, FakeTools
from tests.fakes.serving import Served, serving

EMBEDDER = ModelInfo(
    backend="scripted",
    model="embedder",
    capabilities=("embedding",),
    architecture="bert",
    context_length=512,
    embedding_length=3,
)
THREE = Embedded(vectors=((3.0, 4.0, 12.0), (0.0, 0.0, 0.0)), prompt_tokens=9, load_ns=77)


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(info=EMBEDDER)


@pytest.fixture
def served(model: FakeModel, tmp_path: Path) -> Iterator[Served]:
    with serving(model, tmp_path) as served:
        yield served


def embed(served: Served, **body: object) -> requests.Response:
    return post(served, "/api/embed", **{"model": "ghidraagent", "input": "hi"} | body)


def v1(served: Served, **body: object) -> requests.Response:
    return post(served, "/v1/embeddings", **{"model": "ghidraagent", "input": "hi"} | body)


def test_embed_gives_vectors_of_length_1_and_real_durations(served: Served) -> None:
    answer = embed(served, model="GhidraAgent:latest")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    told = answer.json()
    assert (told["model"], told["embeddings"]) == ("GhidraAgent:latest", [[0.6, 0.8]])
    assert told["total_duration"] > 0
    assert told["load_duration"] > 0
    assert told["prompt_eval_count"] == 5


def test_embed_takes_many_texts_in_their_order(served: Served, model: FakeModel) -> None:
    model.embedded = THREE
    told = embed(served, input=["a", "b"], dimensions=2).json()
    assert told["embeddings"] == [[0.6, 0.8], [0.0, 0.0]]
    assert (told["load_duration"], told["prompt_eval_count"]) == (77, 9)
    assert model.embeds[0].inputs == ("a", "b")


def test_everything_of_the_request_reaches_the_back_end(served: Served, model: FakeModel) -> None:
    nothing = dict.fromkeys(("mirostat", "tfs_z", "num_ctx", "temperature", "stop"))
    embed(served, options=nothing)
    embed(served, truncate=False, dimensions=8, keep_alive="2m", options={"num_ctx": 64})
    assert model.embeds == [
        EmbedRequest(inputs=("hi",)),
        EmbedRequest(
            inputs=("hi",),
            truncate=False,
            dimensions=8,
            options=Options(extra={"num_ctx": 64}),
            keep_alive=120.0,
        ),
    ]


@pytest.mark.parametrize("dimensions", [0, -3, None])
def test_no_dimensions_are_all(served: Served, model: FakeModel, dimensions: object) -> None:
    assert embed(served, dimensions=dimensions).json()["embeddings"] == [[0.6, 0.8]]
    assert model.embeds[0].dimensions is None


def test_ps_lists_the_model_after_it_embedded(served: Served) -> None:
    embed(served)
    (row,) = requests.get(f"{served.url}/api/ps", timeout=10).json()["models"]
    assert row["name"] == "ghidraagent:latest"
    embed(served, keep_alive=0)
    assert requests.get(f"{served.url}/api/ps", timeout=10).json() == {"models": []}


def test_the_legacy_route_gives_the_vector_of_its_prompt(served: Served, model: FakeModel) -> None:
    told = post(served, "/api/embeddings", model="ghidraagent", prompt="hi").json()
    assert told == {"embedding": [0.6, 0.8]}
    assert model.embeds[0].inputs == ("hi",)
    empty = post(served, "/api/embeddings", model="ghidraagent", prompt="").json()
    assert empty == {"embedding": []}


@pytest.mark.parametrize("given", [3, True, {}, [1], [["a"]], ["a", None]])
def test_d14_an_input_of_another_type(served: Served, given: object) -> None:
    assert error(embed(served, input=given)) == (400, "invalid input type")
    answer = v1(served, input=given)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "invalid input type")


@pytest.mark.parametrize("given", ["", [], None])
def test_d14_an_empty_input_has_no_vectors(served: Served, model: FakeModel, given: object) -> None:
    answer = embed(served, input=given)
    assert (answer.status_code, answer.json()) == (200, {"model": "ghidraagent", "embeddings": []})
    assert model.embeds == []


def test_d4_d6_no_model(served: Served) -> None:
    for absent in (None, ""):
        assert error(embed(served, model=absent)) == (404, "model '' not found")
        answer = post(served, "/api/embeddings", model=absent, prompt="x")
        assert error(answer) == (400, "model is required")
        assert v1(served, model=absent).json()["error"]["message"] == "model '' not found"


def test_d11_d13_an_unknown_model(served: Served) -> None:
    wanted = (404, 'model "nope" not found, try pulling it first')
    assert error(embed(served, model="nope")) == wanted
    assert error(post(served, "/api/embeddings", model="nope", prompt="x")) == wanted
    assert error(embed(served, model="../x y")) == (400, "invalid model name")
    answer = v1(served, model="nope")
    assert (answer.status_code, answer.json()["error"]["message"]) == wanted
    assert answer.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NoEmbeddings(), 400),
        (ClientError("the input length exceeds the context length"), 400),
        (UpstreamRefused("nobody listens"), 502),
    ],
)
def test_what_the_back_end_refuses_is_told_in_each_dialect(
    served: Served, model: FakeModel, failure: AtollError, status: int
) -> None:
    model.embedded = failure
    assert error(embed(served)) == (status, str(failure))
    legacy = post(served, "/api/embeddings", model="ghidraagent", prompt="hi")
    assert error(legacy) == (status, str(failure))
    answer = v1(served)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, str(failure))
    assert requests.get(f"{served.url}/api/ps", timeout=10).json() == {"models": []}


def test_d16_a_full_queue_refuses_embeddings_too(tmp_path: Path) -> None:
    class Stuck(FakeModel):
        """Never comes to an end; says when it was left."""

        left = threading.Event()

        async def embed(self, request: EmbedRequest) -> Embedded:
            self.embeds.append(request)
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
            raise AssertionError

    manifest = Manifest(
        agent=AgentTable(name="GhidraAgent"),
        resources=Resources(max_concurrent_requests=1, max_queue=0),
    )
    model = Stuck(info=EMBEDDER)
    with serving(model, tmp_path, manifest=manifest) as served:
        body = json.dumps({"model": "ghidraagent", "input": "hi"}).encode()
        with served.connect() as sock:
            sock.sendall(raw_request("POST", "/api/embed", body))
            wait_for(lambda: bool(model.embeds))
            wanted = "server busy, please try again.  maximum pending requests exceeded"
            assert error(embed(served)) == (503, wanted)
            assert v1(served).json()["error"]["message"] == wanted
        assert model.left.wait(5)  # a client that leaves takes its work with it


def test_the_capability_is_shown_and_tools_are_not_added_to_it(
    model: FakeModel, tmp_path: Path
) -> None:
    with serving(model, tmp_path, tools=FakeTools(clock="12")) as served:
        shown = post(served, "/api/show", model="ghidraagent").json()
        rows = requests.get(f"{served.url}/api/tags", timeout=10).json()["models"]
    assert shown["capabilities"] == ["embedding"]
    assert shown["model_info"]["bert.embedding_length"] == 3
    assert rows[0]["capabilities"] == ["embedding"]


@pytest.mark.parametrize("more", [{}, {"prompt": "", "messages": []}])
def test_a_model_that_only_embeds_refuses_to_talk(served: Served, more: dict[str, object]) -> None:
    assert error(chat(served, **more)) == (400, '"ghidraagent" does not support chat')
    assert error(generate(served, **more)) == (400, '"ghidraagent" does not support generate')


def test_e8_embeddings_as_floats(served: Served, model: FakeModel) -> None:
    model.embedded = THREE
    answer = v1(served, input=["a", "b"], encoding_format="float", dimensions=2)
    assert answer.json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": [0.6, 0.8], "index": 0},
            {"object": "embedding", "embedding": [0.0, 0.0], "index": 1},
        ],
        "model": "ghidraagent",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }


def test_e9_embeddings_as_base64_of_little_endian_float32(served: Served) -> None:
    (row,) = v1(served, encoding_format="base64").json()["data"]
    numbers = struct.unpack("<2f", base64.b64decode(row["embedding"]))
    assert numbers == pytest.approx((0.6, 0.8))
    answer = v1(served, encoding_format="x")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "Invalid value for 'encoding_format' = x. Supported values: ['float', 'base64']."
    )


def test_v1_embeds_an_empty_text_and_refuses_no_text(served: Served, model: FakeModel) -> None:
    assert v1(served, input="").status_code == 200
    assert model.embeds[0].inputs == ("",)
    nothing: tuple[list[str] | None, ...] = ([], None)
    for given in nothing:
        assert v1(served, input=given).json()["error"]["message"] == "invalid input"


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
def test_a_get_is_405(served: Served, path: str) -> None:
    assert requests.get(served.url + path, timeout=10).status_code == 405


def test_the_official_clients_embed(served: Served) -> None:
    with ollama.Client(host=served.url) as client:
        assert list(client.embed("ghidraagent", "hi").embeddings[0]) == [0.6, 0.8]
        assert list(client.embeddings("ghidraagent", "hi").embedding) == [0.6, 0.8]
        with pytest.raises(ollama.ResponseError, match="try pulling it first"):
            client.embed("nope", "hi")
    base = f"{served.url}/v1"
    with openai.OpenAI(base_url=base, api_key="ollama", max_retries=0) as client:
        made = client.embeddings.create(model="ghidraagent", input="hi")
    assert made.data[0].embedding == pytest.approx([0.6, 0.8])
    assert made.usage.prompt_tokens == 5
