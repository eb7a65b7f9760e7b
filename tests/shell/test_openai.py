"""The `openai` back end against a server that speaks /v1, well and badly."""

import asyncio
from contextlib import aclosing

import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.openai import OpenAIModel, openai_peer
from atoll.errors import UpstreamError, UpstreamGarbage, UpstreamTimeout
from atoll.ports import ModelRequest, TextDelta
from atoll.wire.messages import ToolSpec
from tests.fakes.collect import ask, calls_of, collect, done_of, text_of, thinking_of
from tests.fakes.upstream import (
    HANG,
    RESET,
    SSE_END,
    Upstream,
    delta,
    event,
    finish,
    openai_chat,
    streamed,
    usage,
    whole,
)

pytestmark = pytest.mark.anyio
TOOLS = (ToolSpec("f", "Do it.", {"type": "object"}),)
CHAT = "/v1/chat/completions"
SSE = "text/event-stream"


def model_at(upstream: Upstream, name: str = "tiny", timeout: float = 5.0, key: str = ""):
    return OpenAIModel(openai_peer(upstream.url, timeout, key), name, SystemClock())


@pytest.fixture
async def upstream():
    async with Upstream() as server:
        yield server


async def test_words_arrive_and_usage_is_asked_for(upstream: Upstream):
    upstream.on(CHAT, openai_chat("Hel", "lo"))
    model = model_at(upstream, key="sk-1")
    chunks = await collect(model, ask())
    done = done_of(chunks)
    assert (text_of(chunks), done.reason) == ("Hello", "stop")
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (5, 3)
    assert min(done.usage.load_ns, done.usage.prompt_ns, done.usage.completion_ns) > 0
    sent = upstream.requests[0]
    assert sent.json["stream_options"] == {"include_usage": True}
    assert sent.headers["authorization"] == "Bearer sk-1"
    await model.close()


async def test_the_same_connection_is_used_again(upstream: Upstream):
    upstream.on(CHAT, openai_chat("a"))
    model = model_at(upstream)
    for _ in range(3):
        await collect(model, ask())
    assert upstream.connections == 1
    await model.close()


async def test_llama_cpps_stream_is_understood(upstream: Upstream):
    """Null content first, comment lines, then usage with timings (models.md 4.4)."""
    timings = {"prompt_n": 1, "cache_n": 24, "prompt_ms": 2, "predicted_n": 3, "predicted_ms": 4}
    pieces = [
        delta(None, role="assistant"),
        b": ping\n\n",
        delta("a\ufffd"),
        finish("length"),
        usage(25, 3, timings=timings),
        SSE_END,
    ]
    upstream.on(CHAT, streamed(pieces, SSE))
    model = model_at(upstream)
    chunks = await collect(model, ask())
    done = done_of(chunks)
    assert (text_of(chunks), done.reason, done.usage.prompt_tokens) == ("a\ufffd", "length", 25)
    assert (done.usage.prompt_ns, done.usage.completion_ns) == (2_000_000, 4_000_000)
    await model.close()


async def test_calls_are_put_together(upstream: Upstream):
    def call(index, **function):
        identity = {"id": f"c{index}"} if "name" in function else {}
        return delta(None, tool_calls=[{"index": index, **identity, "function": function}])

    pieces = [
        delta(None, reasoning_content="hm"),
        call(0, name="f", arguments=""),
        call(0, arguments='{"z":1,'),
        call(1, name="g", arguments="{}"),
        call(0, arguments='"a":2}'),
        finish("tool_calls"),
        SSE_END,
    ]
    upstream.on(CHAT, streamed(pieces, SSE))
    model = model_at(upstream)
    chunks = await collect(model, ask(tools=TOOLS))
    first, second = calls_of(chunks)
    assert (first.name, list(first.arguments), second.name) == ("f", ["z", "a"], "g")
    assert (thinking_of(chunks), done_of(chunks).reason) == ("hm", "stop")
    await model.close()


async def test_a_tool_with_a_dot_in_its_name_has_none_on_this_wire(upstream: Upstream):
    call = {"index": 0, "id": "c", "function": {"name": "files__read", "arguments": "{}"}}
    pieces = [delta(None, tool_calls=[call]), finish("tool_calls"), SSE_END]
    upstream.on(CHAT, streamed(pieces, SSE))
    model = model_at(upstream)
    made = await collect(model, ask(tools=(ToolSpec("files.read", "Read.", {"type": "object"}),)))
    assert [call.name for call in calls_of(made)] == ["files.read"]
    (tool,) = upstream.requests[-1].json["tools"]
    assert tool["function"]["name"] == "files__read"
    await model.close()


async def test_a_call_nobody_offered_is_dropped_and_never_ends_in_silence(upstream: Upstream):
    call = delta(None, tool_calls=[{"index": 0, "function": {"name": "made_up"}}])
    end = [call, finish("tool_calls"), SSE_END]
    upstream.on(CHAT, streamed([delta("text"), *end], SSE), streamed(end, SSE))
    model = model_at(upstream)
    chunks = await collect(model, ask())
    assert (text_of(chunks), calls_of(chunks)) == ("text", [])
    with pytest.raises(UpstreamGarbage, match="called a tool that was not offered: made_up"):
        await collect(model, ask())
    await model.close()


async def test_a_raw_prompt_uses_completions(upstream: Upstream):
    pieces = [
        event({"choices": [{"text": "ab"}]}),
        event({"choices": [{"text": "", "finish_reason": "stop"}]}),
    ]
    upstream.on("/v1/completions", streamed([*pieces, SSE_END], SSE))
    model = model_at(upstream)
    assert text_of(await collect(model, ModelRequest(raw_prompt="once"))) == "ab"
    assert upstream.requests[0].json["prompt"] == "once"
    await model.close()


async def test_an_end_without_done_is_good_when_the_reason_came(upstream: Upstream):
    upstream.on(CHAT, streamed([delta("a"), finish()], SSE))
    model = model_at(upstream)
    assert text_of(await collect(model, ask())) == "a"
    await model.close()


@pytest.mark.parametrize(
    ("pieces", "error", "said"),
    [
        ([delta("a"), event({"error": {"message": "boom"}})], UpstreamError, "says: boom"),
        ([b'{"error": "flat"}\n'], UpstreamError, "says: flat"),
        ([delta("a")], UpstreamGarbage, "broke off"),
        ([delta("a"), SSE_END], UpstreamGarbage, "broke off"),
        ([delta("a"), RESET], UpstreamGarbage, "broke off"),
        ([b"data: {oops\n\n"], UpstreamGarbage, "server at http.* not as agreed.* check"),
        ([b"<html></html>\n"], UpstreamGarbage, "broke off"),
        ([delta("a"), HANG], UpstreamTimeout, "said nothing"),
    ],
)
async def test_an_answer_that_goes_wrong_ends_with_an_error(upstream, pieces, error, said: str):
    upstream.on(CHAT, streamed(pieces, SSE), openai_chat("fine"))
    model = model_at(upstream, timeout=0.5)
    with pytest.raises(error, match=said):
        await collect(model, ask())
    assert text_of(await collect(model, ask())) == "fine"
    await model.close()


async def test_stopping_to_read_hangs_up_at_the_server(upstream: Upstream):
    upstream.on(CHAT, streamed([delta("a"), HANG], SSE))
    model = model_at(upstream)
    async with aclosing(model.stream(ask())) as chunks:
        assert await anext(chunks) == TextDelta("a")
    assert await asyncio.to_thread(upstream.requests[0].abandoned.wait, 1)
    await model.close()


@pytest.mark.parametrize(
    ("listed", "length", "tools"),
    [
        ({"id": "tiny", "max_model_len": 4096}, 4096, True),
        ({"id": "tiny", "context_length": 99, "supported_parameters": ["tools"]}, 99, True),
        ({"id": "tiny", "context_length": 99, "supported_parameters": []}, 99, False),
        ({"id": "tiny", "owned_by": "llamacpp", "meta": {"n_ctx": 7, "n_ctx_train": 9}}, 7, False),
        ({"id": "other"}, 0, True),
    ],
)
async def test_describe_reads_four_servers_spellings(upstream, listed, length: int, tools: bool):
    upstream.on("/v1/models", whole({"data": [listed]}))
    upstream.on("/props", whole({"chat_template": "{{ messages }}"}))
    model = model_at(upstream)
    info = await model.describe()
    assert (info.context_length, "tools" in info.capabilities) == (length, tools)
    await model.close()


async def test_llama_cpp_can_what_its_template_can(upstream: Upstream):
    upstream.on("/v1/models", whole({"data": [{"id": "tiny", "owned_by": "llamacpp"}]}))
    template = "{% if tools %}{% if enable_thinking %}{{ message.reasoning_content }}"
    upstream.on("/props", whole({"chat_template": template}))
    model = model_at(upstream)
    assert (await model.describe()).capabilities == ("completion", "tools", "thinking")
    await model.close()


async def test_without_a_name_the_first_listed_model_is_used(upstream: Upstream):
    upstream.on("/v1/models", whole({"data": [{"id": "one"}, {"id": "two"}]}))
    upstream.on(CHAT, openai_chat("a"))
    model = model_at(upstream, "")
    await collect(model, ask())
    assert upstream.asked(CHAT)[0].json["model"] == "one"
    await model.close()


async def test_a_server_without_a_list_of_models_works_all_the_same(upstream: Upstream):
    model = model_at(upstream)
    await model.ping()
    assert (await model.describe()).model == "tiny"
    await model.close()


def test_v1_is_added_only_where_there_is_no_path():
    assert openai_peer("http://x:1").url == "http://x:1/v1"
    assert openai_peer("http://x:1/").url == "http://x:1/v1"
    assert openai_peer("https://openrouter.ai/api/v1/").url == "https://openrouter.ai/api/v1"
