"""What a line may be: rows C10, C15 and C16 of ollama-api.md section 8, and F6."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from atoll.adapters.clock import SystemClock
from atoll.adapters.ollama import OllamaModel, ollama_peer
from atoll.adapters.openai import OpenAIModel, openai_peer
from atoll.ports import Chunk, Done, TextDelta, ThinkingDelta
from tests.fakes.asking import THINKER, chat, error, generate, post
from tests.fakes.ports import USAGE, FakeModel
from tests.fakes.serving import Served, serving
from tests.fakes.upstream import (
    Act,
    Upstream,
    delta,
    finish,
    ollama_end,
    ollama_line,
    streamed,
    upstream_in_thread,
    usage,
    whole,
)

MOST = 8 * 1024 * 1024
"""Bytes of a line that Ollama's Go client reads."""
WORDS = "Grüße, 世界 😀 👩‍👩‍👧"


def test_c10_a_format_is_held_to_with_thinking_on(thinker: Served) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    answer = chat(thinker, format=schema, think=True, stream=False)
    assert answer.status_code == 200
    assert answer.json()["message"]["thinking"] == "hmm"


@pytest.mark.parametrize("character", ["x", "\x01", "\U0001f600"])
def test_c15_no_line_is_longer_than_clients_read(tmp_path: Path, character: str) -> None:
    much = character * (2 * 1024 * 1024 + 7)
    reply: list[Chunk] = [ThinkingDelta(much), TextDelta(much), Done("stop", USAGE)]
    with serving(FakeModel(reply, reply, info=THINKER), tmp_path) as served:
        for ask in (chat, generate):
            raw = ask(served).content.splitlines(keepends=True)
            assert max(map(len, raw)) <= MOST
            told = [json.loads(line) for line in raw]
            parts = [part.get("message", part) for part in told]
            said = "".join(part.get("content", "") + part.get("response", "") for part in parts)
            thought = "".join(part.get("thinking", "") for part in parts)
            assert (said == much, thought == much) == (True, True)


def in_bytes(body: list[bytes], content_type: str) -> list[Act]:
    """An answer whose every byte is a chunk of its own: no character arrives in one piece."""
    data = b"".join(body)
    return streamed([data[at : at + 1] for at in range(len(data))], content_type)


def over_ollama(upstream: Upstream) -> OllamaModel:
    said = json.dumps({"message": {"content": WORDS}, "done": False}, ensure_ascii=False)
    body = [said.encode() + b"\n", *map(ollama_line, WORDS), ollama_end()]
    upstream.on("/api/chat", in_bytes(body, "application/x-ndjson"))
    upstream.on("/api/show", whole({"capabilities": ["completion"]}))
    return OllamaModel(ollama_peer(upstream.url), "tiny", SystemClock())


def over_openai(upstream: Upstream) -> OpenAIModel:
    choice = {"choices": [{"delta": {"content": WORDS}}]}
    said = json.dumps(choice, ensure_ascii=False).encode()
    body = [b"data: " + said + b"\n\n", *map(delta, WORDS), finish(), usage()]
    upstream.on("/v1/chat/completions", in_bytes(body, "text/event-stream"))
    return OpenAIModel(openai_peer(upstream.url), "tiny", SystemClock())


@pytest.mark.parametrize("model_over", [over_ollama, over_openai])
def test_c16_characters_that_arrive_in_pieces_leave_whole(
    tmp_path: Path, model_over: Callable[[Upstream], FakeModel]
) -> None:
    with (
        upstream_in_thread() as upstream,
        serving(model_over(upstream), tmp_path) as served,
    ):
        raw = chat(served).content.splitlines()
    told = [json.loads(line.decode("utf-8", "strict")) for line in raw]
    assert "".join(line["message"]["content"] for line in told) == WORDS * 2


@pytest.mark.parametrize("sent", ["Bearer ollama", "Bearer", "Basic eDp5", "anything"])
def test_f6_any_authorization_is_accepted_where_no_token_is_set(served: Served, sent: str) -> None:
    body = {"model": "llama2", "prompt": "hi", "stream": False}
    headers = {"Authorization": sent}
    url = f"{served.url}/api/generate"
    assert requests.post(url, json=body, headers=headers, timeout=10).status_code == 200


def test_show_holds_nothing_that_clients_stumble_over(served: Served) -> None:
    """continue.dev completes code where the template names a suffix, and parses each parameter."""
    shown = post(served, "/api/show", model="llama2", verbose=True).json()
    assert ".Suffix" not in shown["template"]
    assert all(len(line.split(None, 1)) == 2 for line in shown["parameters"].splitlines())
    assert error(generate(served, suffix="}"))[0] == 400
