"""The `ollama` back end against a server that speaks Ollama's dialect, well and badly."""

import asyncio
from contextlib import aclosing

import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.ollama import OllamaModel, ollama_peer
from atoll.errors import UpstreamError, UpstreamGarbage
from atoll.ports import ModelRequest, TextDelta
from atoll.wire.messages import Options, ToolSpec
from tests.fakes.collect import ask, calls_of, collect, done_of, text_of, thinking_of
from tests.fakes.upstream import (
    HANG,
    RESET,
    Upstream,
    line,
    ollama_chat,
    ollama_end,
    ollama_line,
    streamed,
    whole,
)

pytestmark = pytest.mark.anyio
TOOLS = (ToolSpec("f", "Do it.", {"type": "object"}),)

SHOW = {
    "details": {"family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"},
    "model_info": {
        "general.architecture": "llama",
        "llama.context_length": 131072,
        "llama.embedding_length": 3072,
    },
    "capabilities": ["completion", "tools", "from the future"],
}


def model_at(upstream: Upstream, name: str = "tiny", timeout: float = 5.0) -> OllamaModel:
    return OllamaModel(ollama_peer(upstream.url, timeout), name, SystemClock())


@pytest.fixture
async def upstream():
    async with Upstream() as server:
        yield server


async def test_words_arrive_and_the_counts_are_the_servers(upstream: Upstream):
    upstream.on("/api/chat", ollama_chat("Hel", "lo", " 😀"))
    model = model_at(upstream)
    chunks = await collect(model, ask("hi", options=Options(max_tokens=9)))
    assert [chunk.text for chunk in chunks[:-1] if isinstance(chunk, TextDelta)] == [
        "Hel",
        "lo",
        " 😀",
    ]
    usage = done_of(chunks).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 3)
    assert (usage.load_ns, usage.prompt_ns, usage.completion_ns) == (10**6, 2 * 10**6, 4 * 10**6)
    sent = upstream.requests[0].json
    assert (sent["model"], sent["stream"], sent["options"]) == ("tiny", True, {"num_predict": 9})
    await model.close()


async def test_a_server_that_counts_nothing_gives_no_zeros(upstream: Upstream):
    upstream.on("/api/chat", streamed([ollama_line("a"), line({"done": True})]))
    model = model_at(upstream)
    usage = done_of(await collect(model, ask())).usage
    assert min(usage.prompt_tokens, usage.completion_tokens) > 0
    assert min(usage.load_ns, usage.prompt_ns, usage.completion_ns) > 0
    await model.close()


async def test_length_is_passed_on(upstream: Upstream):
    upstream.on("/api/chat", ollama_chat("a", reason="length"))
    model = model_at(upstream)
    assert done_of(await collect(model, ask())).reason == "length"
    await model.close()


async def test_a_raw_prompt_uses_generate(upstream: Upstream):
    answer = [line({"response": "ab", "done": False}), line({"response": "", "done": True})]
    upstream.on("/api/generate", streamed(answer))
    model = model_at(upstream)
    assert text_of(await collect(model, ModelRequest(raw_prompt="once"))) == "ab"
    assert upstream.requests[0].json["raw"] is True
    await model.close()


async def test_thinking_and_calls_in_any_chunk(upstream: Upstream):
    call = {"function": {"index": 0, "name": "f", "arguments": {"z": 1, "a": 2}}}
    other = {"id": "call_abc", "function": {"name": "g", "arguments": {}}}
    pieces = [
        ollama_line("", thinking="hm"),
        ollama_line("text", tool_calls=[call]),
        ollama_line("", tool_calls=[other]),
        ollama_end(),
    ]
    upstream.on("/api/chat", streamed(pieces))
    model = model_at(upstream)
    chunks = await collect(model, ask(tools=TOOLS))
    first, second = calls_of(chunks)
    assert (thinking_of(chunks), text_of(chunks)) == ("hm", "text")
    assert (list(first.arguments), second.id, second.name) == (["z", "a"], "call_abc", "g")
    await model.close()


async def test_a_call_in_the_last_line_is_not_lost(upstream: Upstream):
    """Look-alikes put calls into the done line (ollama-api.md section 5, trap 4)."""
    said = {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    upstream.on("/api/chat", streamed([line({"message": said, "done": True})]))
    model = model_at(upstream)
    assert [call.name for call in calls_of(await collect(model, ask(tools=TOOLS)))] == ["f"]
    await model.close()


async def test_a_call_nobody_offered_is_dropped_and_never_ends_in_silence(upstream: Upstream):
    call = {"function": {"name": "made_up", "arguments": {}}}
    spoken = [ollama_line("text"), ollama_line("", tool_calls=[call]), ollama_end()]
    upstream.on("/api/chat", streamed(spoken), streamed(spoken[1:]))
    model = model_at(upstream)
    chunks = await collect(model, ask())
    assert (text_of(chunks), calls_of(chunks)) == ("text", [])
    with pytest.raises(UpstreamGarbage, match="called a tool that was not offered: made_up"):
        await collect(model, ask())
    await model.close()


async def test_lines_cut_anywhere_are_the_same_lines(upstream: Upstream):
    data = ollama_line("wörld 😀") + ollama_end()
    upstream.on("/api/chat", streamed([data[i : i + 1] for i in range(len(data))]))
    model = model_at(upstream)
    assert text_of(await collect(model, ask())) == "wörld 😀"
    await model.close()


async def test_broken_utf8_does_not_end_the_answer(upstream: Upstream):
    broken = ollama_line("aXb").replace(b"X", b"\xff\xf0\x9f")
    upstream.on("/api/chat", streamed([broken, ollama_end()]))
    model = model_at(upstream)
    text = text_of(await collect(model, ask()))
    assert (text[0], text[-1]) == ("a", "b")
    assert "\ufffd" in text
    await model.close()


@pytest.mark.parametrize(
    ("pieces", "error", "said"),
    [
        ([ollama_line("a"), line({"error": "boom"})], UpstreamError, "says: boom"),
        ([ollama_line("a")], UpstreamGarbage, "broke off"),
        ([ollama_line("a"), RESET], UpstreamGarbage, "broke off"),
        ([b"<html>sorry</html>\n"], UpstreamGarbage, "Ollama at http.* not as agreed: '<html>"),
    ],
)
async def test_an_answer_that_goes_wrong_ends_with_an_error(upstream, pieces, error, said: str):
    upstream.on("/api/chat", streamed(pieces))
    model = model_at(upstream)
    with pytest.raises(error, match=said):
        await collect(model, ask())
    await model.close()


async def test_a_missing_model_names_the_command_that_fetches_it(upstream: Upstream):
    for path in ("/api/chat", "/api/show"):
        upstream.on(path, whole({"error": "model 'tiny' not found"}, "404 Not Found"))
    model = model_at(upstream)
    with pytest.raises(UpstreamError, match="run `ollama pull tiny`"):
        await collect(model, ask())
    with pytest.raises(UpstreamError, match="run `ollama pull tiny`"):
        await model.describe()
    await model.close()


async def test_after_every_fault_the_next_turn_works(upstream: Upstream):
    faults = [[HANG], [RESET], streamed([b"rubbish\n"]), streamed([ollama_line("a"), HANG])]
    upstream.on("/api/chat", *faults, ollama_chat("fine"))
    model = model_at(upstream, timeout=0.3)
    for _ in faults:
        with pytest.raises(UpstreamError):
            await collect(model, ask())
    assert text_of(await collect(model, ask())) == "fine"
    await model.close()


async def test_stopping_to_read_hangs_up_at_the_server(upstream: Upstream):
    upstream.on("/api/chat", streamed([ollama_line("a"), HANG]))
    model = model_at(upstream)
    async with aclosing(model.stream(ask())) as chunks:
        assert await anext(chunks) == TextDelta("a")
    assert await asyncio.to_thread(upstream.requests[0].abandoned.wait, 1)
    await model.close()


async def test_a_server_that_keeps_the_connection_open_after_the_end_delays_nobody(upstream):
    upstream.on("/api/chat", [*streamed([ollama_line("a"), ollama_end()])[:-1], HANG])
    model = model_at(upstream, timeout=60)
    async with asyncio.timeout(5):
        assert text_of(await collect(model, ask())) == "a"
    await model.close()


async def test_describe_tells_the_servers_truth(upstream: Upstream):
    upstream.on("/api/show", whole(SHOW))
    upstream.on("/api/tags", whole({"models": [{"name": "tiny:latest", "size": 42}]}))
    model = model_at(upstream)
    info = await model.describe()
    assert (info.backend, info.model, info.architecture) == ("ollama", "tiny", "llama")
    assert (info.context_length, info.embedding_length, info.size) == (131072, 3072, 42)
    assert (info.parameter_size, info.quantization) == ("3.2B", "Q4_K_M")
    assert info.capabilities == ("completion", "tools")
    await model.close()


async def test_describe_bears_a_server_that_says_little(upstream: Upstream):
    upstream.on("/api/show", whole({"model_info": None}))
    model = model_at(upstream)
    assert (await model.describe()).capabilities == ("completion",)
    await model.close()


async def test_without_a_name_the_first_listed_model_is_used(upstream: Upstream):
    upstream.on("/api/tags", whole({"models": [{"name": "one"}, {"name": "two"}]}))
    upstream.on("/api/chat", ollama_chat("a"))
    model = model_at(upstream, "")
    await collect(model, ask())
    assert upstream.asked("/api/chat")[0].json["model"] == "one"
    await model.close()


async def test_a_ping_tells_what_ails_the_server(upstream: Upstream):
    model = model_at(upstream)
    await model.ping()
    upstream.on("/api/version", whole({"error": "sick"}, "500 No"))
    with pytest.raises(UpstreamError, match="sick"):
        await model.ping()
    await model.close()
