"""Back ends that embed, against servers that speak two dialects, well and badly."""

import asyncio
import math

import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.demo import DemoModel
from atoll.adapters.ollama import OllamaModel, ollama_peer
from atoll.adapters.openai import OpenAIModel, openai_peer
from atoll.adapters.script import DEFAULT, Script, Turn
from atoll.adapters.scripted import ScriptedModel
from atoll.errors import (
    Busy,
    ClientError,
    NoEmbeddings,
    UpstreamError,
    UpstreamGarbage,
    UpstreamRefused,
    UpstreamTimeout,
)
from atoll.ports import EmbedRequest, Model
from atoll.wire.messages import Options
from tests.fakes.upstream import HANG, Act, Upstream, head, whole

pytestmark = pytest.mark.anyio

TWO = EmbedRequest(inputs=("a", "b"))
ONE = EmbedRequest(inputs=("hello",))
NATIVE, OPENAI = "/api/embed", "/v1/embeddings"


@pytest.fixture
async def upstream():
    async with Upstream() as server:
        yield server


def native_at(upstream: Upstream, timeout: float = 5.0) -> OllamaModel:
    return OllamaModel(ollama_peer(upstream.url, timeout), "tiny", SystemClock())


def openai_at(upstream: Upstream, timeout: float = 5.0) -> OpenAIModel:
    return OpenAIModel(openai_peer(upstream.url, timeout), "tiny", SystemClock())


async def test_ollamas_vectors_and_counts_are_passed_on(upstream: Upstream):
    answer = {"embeddings": [[1, 0], [0, 2.5]], "load_duration": 7, "prompt_eval_count": 3}
    upstream.on(NATIVE, whole(answer))
    model = native_at(upstream)
    made = await model.embed(TWO)
    assert made.vectors == ((1.0, 0.0), (0.0, 2.5))
    assert (made.load_ns, made.prompt_tokens) == (7, 3)
    wanted = {"model": "tiny", "input": ["a", "b"], "truncate": True}
    assert upstream.requests[0].json == wanted
    await model.close()


async def test_everything_that_ollama_knows_is_sent_to_it(upstream: Upstream):
    upstream.on(NATIVE, whole({"embeddings": [[1]]}))
    model = native_at(upstream)
    asked = EmbedRequest(
        inputs=("a",),
        truncate=False,
        dimensions=8,
        options=Options(extra={"num_ctx": 64}),
        keep_alive=-1.0,
    )
    made = await model.embed(asked)
    assert (made.prompt_tokens, made.load_ns) == (1, 0)
    sent = upstream.requests[0].json
    assert (sent["truncate"], sent["dimensions"], sent["keep_alive"]) == (False, 8, -1.0)
    assert sent["options"] == {"num_ctx": 64}
    await model.close()


async def test_openais_vectors_are_put_in_order(upstream: Upstream):
    data = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]
    upstream.on(OPENAI, whole({"data": data, "usage": {"prompt_tokens": 4}}))
    model = openai_at(upstream)
    made = await model.embed(TWO)
    assert (made.vectors, made.prompt_tokens) == (((1.0,), (2.0,)), 4)
    sent = upstream.requests[0].json
    assert sent == {"model": "tiny", "input": ["a", "b"], "encoding_format": "float"}
    await model.close()


@pytest.mark.parametrize(
    ("answer", "fault", "words"),
    [
        (whole(b"404 page not found", "404 Not Found"), NoEmbeddings, "does not support"),
        (whole({"error": "x"}, "405 Method Not Allowed"), NoEmbeddings, "does not support"),
        (
            whole({"error": "this model does not support embeddings"}, "500 Oops"),
            NoEmbeddings,
            "this model does not support embeddings",
        ),
        (
            whole({"error": "the input length exceeds the context length"}, "400 Bad Request"),
            ClientError,
            "^the input length exceeds the context length$",
        ),
        (
            whole({"error": 'model "tiny" not found, try pulling it first'}, "404 Not Found"),
            UpstreamError,
            "run `ollama pull tiny`",
        ),
        (whole({"error": "bad dimensions"}, "400 Bad Request"), ClientError, "bad dimensions"),
        (whole({"error": "queue"}, "503 Busy"), Busy, "queue"),
        (whole({"error": "oops"}, "500 Oops"), UpstreamError, "oops"),
        (whole({"embeddings": [[1]]}), UpstreamGarbage, "1 vectors for 2 inputs"),
        (whole({}), UpstreamGarbage, "0 vectors for 2 inputs"),
        (whole({"embeddings": [["a"], [1]]}), UpstreamGarbage, "not as agreed"),
        (whole(b"<html>"), UpstreamGarbage, "not as agreed"),
        ([head(length=9) + b"{}"], UpstreamGarbage, "broke off"),
        ([HANG], UpstreamTimeout, "0.3 s"),
    ],
)
async def test_what_ollama_refuses_is_told(
    upstream: Upstream, answer: list[Act], fault: type[Exception], words: str
):
    upstream.on(NATIVE, answer)
    model = native_at(upstream, timeout=0.3)
    with pytest.raises(fault, match=words):
        await model.embed(TWO)
    await model.close()


@pytest.mark.parametrize(
    ("answer", "fault", "words"),
    [
        (
            whole({"error": {"message": "This server does not support embeddings."}}, "501 No"),
            NoEmbeddings,
            "this model does not support embeddings",
        ),
        (
            whole({"error": {"message": "The model `tiny` does not exist"}}, "404 Not Found"),
            UpstreamError,
            "does not exist",
        ),
        (whole({"data": [{"embedding": "AAAA"}]}), UpstreamGarbage, "not as agreed"),
        (whole({"data": None}), UpstreamGarbage, "0 vectors for 1 inputs"),
    ],
)
async def test_what_an_openai_server_refuses_is_told(
    upstream: Upstream, answer: list[Act], fault: type[Exception], words: str
):
    upstream.on(OPENAI, answer)
    model = openai_at(upstream)
    with pytest.raises(fault, match=words):
        await model.embed(ONE)
    await model.close()


async def test_a_server_that_is_not_there_is_told():
    model = OllamaModel(ollama_peer("http://127.0.0.1:9", 2.0), "tiny", SystemClock())
    with pytest.raises(UpstreamRefused):
        await model.embed(ONE)
    await model.close()


async def test_work_that_is_cancelled_is_given_up_at_the_server(upstream: Upstream):
    upstream.on(NATIVE, [HANG])
    model = native_at(upstream)
    work = asyncio.create_task(model.embed(ONE))
    async with asyncio.timeout(5):
        while not upstream.requests:
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait((work,))
        while not upstream.requests[0].abandoned.is_set():
            await asyncio.sleep(0)
    await model.close()


async def test_a_name_that_says_embed_is_a_model_that_only_embeds(upstream: Upstream):
    upstream.on("/v1/models", whole({"data": [{"id": "nomic-embed-text"}, {"id": "chatty"}]}))
    for name, wanted in (
        ("nomic-embed-text", ("embedding",)),
        ("chatty", ("completion", "tools")),
    ):
        model = OpenAIModel(openai_peer(upstream.url), name, SystemClock())
        assert (await model.describe()).capabilities == wanted
        await model.close()


EMBEDS = Script((Turn(text="x"),), capabilities=("completion", "embedding"), context_length=3)


def scripted(script: Script = EMBEDS) -> ScriptedModel:
    return ScriptedModel(script, "scripted", SystemClock())


def nearness(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_a_scripts_vectors_follow_from_the_words_and_are_of_length_1():
    request = EmbedRequest(inputs=("red fox", "Red  FOX", "red hen", "blue sky", ""))
    made = await scripted().embed(request)
    assert made == await scripted().embed(request)
    fox, again, hen, sky, _ = made.vectors
    assert all(math.isclose(math.hypot(*vector), 1.0) for vector in made.vectors)
    assert fox == again
    assert nearness(fox, hen) > nearness(fox, sky)
    assert made.prompt_tokens == 8
    info = await scripted().describe()
    assert info.embedding_length == len(fox)


async def test_a_script_cuts_at_its_context_unless_that_is_forbidden():
    long, short = "a b c d", "a b c"
    cut = await scripted().embed(EmbedRequest(inputs=(long,)))
    assert cut == await scripted().embed(EmbedRequest(inputs=(short,), truncate=False))
    with pytest.raises(ClientError, match=r"^the input length exceeds the context length$"):
        await scripted().embed(EmbedRequest(inputs=(short, long), truncate=False))


@pytest.mark.parametrize("model", [DemoModel(SystemClock()), scripted(DEFAULT)])
async def test_what_makes_no_embeddings_says_so(model: Model):
    with pytest.raises(NoEmbeddings, match=r"^this model does not support embeddings$"):
        await model.embed(ONE)
