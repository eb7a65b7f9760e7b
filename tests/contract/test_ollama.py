"""Ollama's official client, unmodified, and every example of the source page (seeds/atoll.md)."""

import ollama
import pytest
import requests

from tests.fakes.asking import WEATHER
from tests.fakes.ports import FakeModel
from tests.fakes.serving import Served


def test_the_official_client_lists_shows_chats_and_generates(served: Served) -> None:
    with client_of(served) as client:
        check_client(client)


def client_of(served: Served) -> ollama.Client:
    return ollama.Client(host=served.url)


def check_client(client: ollama.Client) -> None:
    assert client.list().models[0].model == "ghidraagent:latest"
    assert client.show("ghidraagent").capabilities == ["completion"]
    assert list(client.ps().models) == []
    message = {"role": "user", "content": "hi"}
    assert client.chat("ghidraagent", [message]).message.content == "Hello wörld"
    streamed = client.chat("ghidraagent", [message], stream=True)
    assert "".join(part.message.content or "" for part in streamed) == "Hello wörld"
    assert client.generate("GhidraAgent", "hi").response == "Hello wörld"
    assert client.ps().models[0].name == "ghidraagent:latest"


def test_the_official_client_raises_response_error(served: Served) -> None:
    with client_of(served) as client, pytest.raises(ollama.ResponseError) as caught:
        client.chat("nope", [{"role": "user", "content": "x"}])
    assert (caught.value.status_code, caught.value.error) == (404, "model 'nope' not found")


def test_the_official_client_raises_in_mid_stream(failing: Served) -> None:
    with client_of(failing) as client:
        streamed = client.generate("llama2", "x", stream=True)
        with pytest.raises(ollama.ResponseError, match="went away"):
            list(streamed)


def test_the_official_client_gets_tool_calls(calling: tuple[Served, FakeModel]) -> None:
    message = {"role": "user", "content": "weather?"}
    with client_of(calling[0]) as client:
        answer = client.chat("llama2", [message], tools=[WEATHER])
    calls = answer.message.tool_calls or []
    assert [call.function.arguments["city"] for call in calls] == ["Rome", "Oslo"]


def test_the_source_pages_examples(served: Served) -> None:
    url = served.url
    assert requests.get(f"{url}/health", timeout=10).json()["status"] == "healthy"
    names = [m["name"] for m in requests.get(f"{url}/api/tags", timeout=10).json()["models"]]
    assert "llama2:latest" in names
    answer = requests.post(
        f"{url}/api/generate",
        json={"model": "llama2", "prompt": "Explain quantum computing", "stream": False},
        timeout=10,
    ).json()
    assert answer["response"]
    assert answer["done"] is True
    assert {"model", "created_at", "context"} <= set(answer)
    answer = requests.post(
        f"{url}/api/chat",
        json={
            "model": "llama2",
            "messages": [
                {"role": "user", "content": "Hello!"},
                {"role": "assistant", "content": "Hi! How can I help you?"},
                {"role": "user", "content": "What's the weather?"},
            ],
            "stream": False,
        },
        timeout=10,
    ).json()
    assert answer["message"]["role"] == "assistant"
    assert answer["message"]["content"]
    bad = requests.post(f"{url}/api/chat", json={"model": "llama2", "messages": 3}, timeout=10)
    assert bad.status_code == 400
    assert bad.json()["detail"]
