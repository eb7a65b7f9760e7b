"""The `local` back end on real llama.cpp with random weights."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import jsonschema
import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.host import OwnHost, SupervisedHost, host_socket, is_served
from atoll.adapters.local import LocalModel, host_peer
from atoll.adapters.peer import Peer
from atoll.config.places import places_of
from atoll.errors import ConfigError, NoEmbeddings, UpstreamError, UpstreamRefused
from atoll.ports import EmbedRequest, ModelRequest, TextDelta
from atoll.wire.messages import Call, Message, Options
from tests.fakes.collect import ask, collect, done_of, text_of
from tests.fakes.gguf import TOOL_TEMPLATE, make_gguf
from tests.fakes.modelhost import running_host
from tests.fakes.upstream import Upstream, openai_chat, whole

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.anyio
SHORT = Options(max_tokens=24, seed=1, temperature=0.2)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def served(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a host for all tests of this module."""
    path = tmp_path_factory.mktemp("run") / "m.sock"
    with running_host(gguf, path):
        yield path


def supervised(gguf: Path, socket: Path, timeout: float = 30.0) -> LocalModel:
    peer = host_peer(socket, "tiny", timeout)
    return LocalModel(peer, gguf, "tiny", SupervisedHost(socket, timeout), SystemClock())


def alone(gguf: Path, socket: Path) -> tuple[LocalModel, OwnHost]:
    host = OwnHost(gguf, "tiny", socket, os.environ, 30.0)
    return LocalModel(host_peer(socket, "tiny", 30.0), gguf, "tiny", host, SystemClock()), host


async def test_it_streams_and_counts(gguf: Path, served: Path):
    model = supervised(gguf, served)
    chunks = await collect(model, ask("hello world", options=SHORT))
    done = done_of(chunks)
    assert sum(isinstance(chunk, TextDelta) for chunk in chunks) > 5
    assert (done.reason, done.usage.completion_tokens) == ("length", 24)
    assert done.usage.prompt_tokens > 5
    assert min(done.usage.load_ns, done.usage.prompt_ns, done.usage.completion_ns) > 0
    await model.close()


async def test_it_tells_logprobs_when_they_are_asked_for(gguf: Path, served: Path):
    model = supervised(gguf, served)
    for number in (0, 2):
        request = ask("hello", options=SHORT, logprobs=True, top_logprobs=number)
        told = [chunk for chunk in await collect(model, request) if isinstance(chunk, TextDelta)]
        items = [item for chunk in told for item in chunk.logprobs]
        assert len(items) > 5
        assert all(item.logprob <= 0 for item in items)
        assert {len(item.top_logprobs) for item in items} == {number}
    assert not any(
        chunk.logprobs
        for chunk in await collect(model, ask("hello", options=SHORT))
        if isinstance(chunk, TextDelta)
    )
    await model.close()


async def test_it_makes_no_embeddings(gguf: Path, served: Path):
    model = supervised(gguf, served)
    with pytest.raises(NoEmbeddings):
        await model.embed(EmbedRequest(inputs=("hello",)))
    await model.close()


async def test_the_same_prompt_again_counts_as_many_tokens(gguf: Path, served: Path):
    """llama.cpp counts only what it computed; what it had cached was read too."""
    model = supervised(gguf, served)
    request = ask("the same question twice", options=SHORT)
    first, second = [done_of(await collect(model, request)).usage for _ in range(2)]
    assert first.prompt_tokens == second.prompt_tokens
    await model.close()


async def test_a_seed_gives_the_same_words(gguf: Path, served: Path):
    model = supervised(gguf, served)
    texts = {text_of(await collect(model, ask("hello", options=SHORT))) for _ in range(3)}
    assert len(texts) == 1
    await model.close()


async def test_a_schema_is_kept(gguf: Path, served: Path):
    schema = {
        "type": "object",
        "properties": {
            "city": {"enum": ["Turku", "Oulu"]},
            "days": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 1, "maxItems": 2},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    model = supervised(gguf, served)
    for seed in range(3):
        options = Options(max_tokens=200, seed=seed)
        text = text_of(await collect(model, ask("json", options=options, format=schema)))
        jsonschema.validate(json.loads(text), schema)
    await model.close()


async def test_a_raw_prompt_goes_without_the_template(gguf: Path, served: Path):
    model = supervised(gguf, served)
    raw = done_of(await collect(model, ModelRequest(raw_prompt="hello", options=SHORT)))
    chat = done_of(await collect(model, ask("hello", options=SHORT)))
    assert raw.usage.prompt_tokens < chat.usage.prompt_tokens
    await model.close()


async def test_two_clients_are_served_at_once(gguf: Path, served: Path):
    """The second answer ends while the first is still being generated."""
    first, second = supervised(gguf, served), supervised(gguf, served)
    long = Options(max_tokens=1500, seed=1)
    async with asyncio.timeout(50), aclosing(first.stream(ask("hello", options=long))) as chunks:
        await anext(chunks)
        done_of(await collect(second, ask("world", options=SHORT)))
        assert isinstance(await anext(chunks), TextDelta)
    await first.close()
    await second.close()


async def test_closing_early_frees_the_slot(tmp_path: Path):
    """Eight answers of half a minute each are given up; the next one need not wait for them."""
    gguf, socket = make_gguf(tmp_path / "slow.gguf", blocks=16, width=512), tmp_path / "m.sock"
    endless = Options(max_tokens=1900)
    with running_host(gguf, socket):
        model = supervised(gguf, socket)
        for _ in range(8):
            async with aclosing(model.stream(ask("go on", options=endless))) as chunks:
                await anext(chunks)
        async with asyncio.timeout(15):
            done_of(await collect(model, ask("hello", options=Options(max_tokens=2))))
        await model.close()


async def test_a_prompt_over_the_context_is_refused_in_words(gguf: Path, served: Path):
    model = supervised(gguf, served)
    with pytest.raises(UpstreamError, match="context"):
        await collect(model, ask("xq " * 3000, options=SHORT))
    done_of(await collect(model, ask("hello", options=SHORT)))
    await model.close()


async def test_a_conversation_with_tools_reaches_a_template_without_tools(gguf: Path, served: Path):
    call = Call("c", "weather", {"city": "Turku"})
    messages = (
        Message(role="user", content="how is it"),
        Message(role="assistant", calls=(call,)),
        Message(role="tool", content="sunny", tool_name="weather"),
    )
    model = supervised(gguf, served)
    done_of(await collect(model, ModelRequest(messages=messages, options=SHORT)))
    await model.close()


async def test_describe_needs_no_host(gguf: Path, tmp_path: Path):
    model = supervised(gguf, tmp_path / "none.sock")
    info = await model.describe()
    assert (info.backend, info.architecture, info.context_length) == ("local", "llama", 2048)
    assert (info.embedding_length, info.size) == (64, gguf.stat().st_size)
    assert info.capabilities == ("completion",)
    await model.close()


async def test_tools_are_claimed_only_when_the_template_has_them(tmp_path: Path):
    gguf = make_gguf(tmp_path / "t.gguf", template=TOOL_TEMPLATE)
    model = supervised(gguf, tmp_path / "none.sock")
    assert (await model.describe()).capabilities == ("completion", "tools")
    await model.close()


async def test_a_supervised_host_that_comes_late_is_waited_for(gguf: Path, tmp_path: Path):
    socket = tmp_path / "late.sock"
    model = supervised(gguf, socket)
    answer = asyncio.create_task(collect(model, ask("hello", options=SHORT)))
    await asyncio.sleep(0.3)
    assert not answer.done()
    with running_host(gguf, socket):
        done = done_of(await asyncio.wait_for(answer, 30))
    assert done.usage.load_ns > 300_000_000
    await model.close()


async def test_a_host_that_still_reads_the_weights_is_waited_for(gguf: Path, served: Path):
    """llama.cpp answers 503 until it is done."""
    async with Upstream() as host:
        loading = whole({"error": {"message": "Loading model"}}, "503 Service Unavailable")
        host.on("/v1/chat/completions", loading, loading, openai_chat("ready"))
        peer = Peer(name="the model host", url=f"{host.url}/v1", remedy="wait")
        model = LocalModel(peer, gguf, "tiny", SupervisedHost(served, 30.0), SystemClock())
        async with asyncio.timeout(30):
            assert text_of(await collect(model, ask())) == "ready"
        assert len(host.requests) == 3
        await model.close()


async def test_a_supervised_host_that_never_comes_is_told(gguf: Path, tmp_path: Path):
    model = supervised(gguf, tmp_path / "never.sock", timeout=0.4)
    with pytest.raises(UpstreamRefused, match="is not running"):
        await collect(model, ask())
    with pytest.raises(UpstreamRefused):
        await model.ping()
    await model.close()


async def test_alone_a_host_is_started_once_and_stopped_at_the_end(gguf: Path, tmp_path: Path):
    socket = tmp_path / "run" / "own.sock"
    model, host = alone(gguf, socket)
    answers = await asyncio.gather(*(collect(model, ask("hi", options=SHORT)) for _ in range(4)))
    assert all(done_of(chunks).usage.completion_tokens == 24 for chunks in answers)
    await model.ping()
    assert await is_served(socket)
    await model.close()
    assert not await is_served(socket)
    assert host.child_pid is None


async def test_alone_a_killed_host_is_started_anew(gguf: Path, tmp_path: Path):
    model, host = alone(gguf, tmp_path / "own.sock")
    await model.ping()
    assert host.child_pid is not None
    os.kill(host.child_pid, signal.SIGKILL)
    done_of(await collect(model, ask("hi", options=SHORT)))
    await model.close()


async def test_alone_a_host_of_another_agent_is_shared(gguf: Path, served: Path):
    model, host = alone(gguf, served)
    done_of(await collect(model, ask("hi", options=SHORT)))
    assert host.child_pid is None
    await model.close()
    assert await is_served(served)


async def test_alone_a_host_that_cannot_start_is_an_error(tmp_path: Path):
    gguf = tmp_path / "cut.gguf"
    gguf.write_bytes(make_gguf(tmp_path / "t.gguf").read_bytes()[:-100_000])
    model, _ = alone(gguf, tmp_path / "own.sock")
    with pytest.raises(UpstreamError, match="could not start"):
        await collect(model, ask("hi", options=SHORT))
    await model.close()


async def test_a_model_file_that_went_away_is_told(tmp_path: Path):
    model = supervised(tmp_path / "gone.gguf", tmp_path / "m.sock")
    with pytest.raises(ConfigError, match="no such file"):
        await model.describe()
    await model.close()


def test_every_gguf_has_a_short_socket_of_its_own(tmp_path: Path):
    places = places_of({"HOME": str(tmp_path / ("x" * 90))}, os.getuid())
    one, two = (host_socket(places, Path(name)) for name in ("/a/m.gguf", "/b/m.gguf"))
    assert one != two
    assert one == host_socket(places, Path("/a/m.gguf"))
    assert len(str(one)) <= 100
