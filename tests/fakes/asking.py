"""How the contract tests ask an agent in the Ollama dialect, and what they ask with."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import requests

from atoll.ports import ModelInfo
from tests.fakes.serving import Served

METRICS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
THINKER = ModelInfo(
    backend="scripted",
    model="thinker",
    capabilities=("completion", "tools", "thinking", "vision"),
    architecture="llama",
    context_length=8192,
)
IMAGE = base64.b64encode(b"picture").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def post(served: Served, path: str, **body: object) -> requests.Response:
    return requests.post(served.url + path, json=body, timeout=10)


def chat(served: Served, **body: object) -> requests.Response:
    message = {"role": "user", "content": "hi"}
    return post(served, "/api/chat", **{"model": "ghidraagent", "messages": [message]} | body)


def generate(served: Served, **body: object) -> requests.Response:
    return post(served, "/api/generate", **{"model": "ghidraagent", "prompt": "hi"} | body)


def lines(response: requests.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.content.splitlines()]


def error(response: requests.Response) -> tuple[int, object]:
    return response.status_code, response.json()["error"]


def wait_for(met: Callable[[], bool]) -> None:
    limit = time.monotonic() + 5
    while not met():
        assert time.monotonic() < limit
        time.sleep(0.01)


def raw_request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
