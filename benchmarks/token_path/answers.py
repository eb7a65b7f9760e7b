"""What the model that thinks in no time says: its facts, and a token in both dialects."""

import json
from typing import NamedTuple

FACTS: dict[str, object] = {
    "/api/version": {"version": "0.12.0"},
    "/api/tags": {"models": [{"name": "fast:latest", "model": "fast:latest", "size": 1}]},
    "/api/show": {
        "details": {"family": "llama"},
        "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
        "capabilities": ["completion", "tools"],
    },
    "/v1/models": {"object": "list", "data": [{"id": "fast", "object": "model"}]},
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"


class Speech(NamedTuple):
    """The parts of a streamed answer, as bytes of HTTP: each token is a chunk of its own.

    Two tokens take turns: LiteLLM ends an answer that says the same a hundred times.
    """

    head: bytes
    tokens: tuple[bytes, bytes]
    last: bytes


def fact(path: str) -> bytes:
    """A whole answer to anything that is no chat."""
    said = json.dumps(FACTS.get(path, {})).encode()
    return HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(said) + said


def _streamed(kind: bytes) -> bytes:
    return HEAD % kind + b"Transfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _line(**more: object) -> bytes:
    fixed = {"model": "fast", "created_at": "2026-11-21T10:00:00.123456789Z"}
    return json.dumps(fixed | more, separators=(",", ":")).encode() + b"\n"


def _event(delta: dict[str, str], reason: str | None) -> bytes:
    fixed = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795255200}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    said = fixed | {"model": "fast", "choices": [choice]}
    return b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n"


_FIGURES = {
    "total_duration": 1000,
    "prompt_eval_count": 10,
    "prompt_eval_duration": 1000,
    "eval_count": 10,
    "eval_duration": 1000,
}
_NOTHING = {"role": "assistant", "content": ""}
_TICK, _TOCK = ({"role": "assistant", "content": f" {word}"} for word in ("token", "after"))

SPEECHES = {
    "/api/chat": Speech(
        _streamed(b"application/x-ndjson"),
        (_chunk(_line(message=_TICK, done=False)), _chunk(_line(message=_TOCK, done=False))),
        _chunk(_line(message=_NOTHING, done=True, done_reason="stop", **_FIGURES)) + b"0\r\n\r\n",
    ),
    "/v1/chat/completions": Speech(
        _streamed(b"text/event-stream"),
        (_chunk(_event(_TICK, None)), _chunk(_event(_TOCK, None))),
        _chunk(_event({}, "stop")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
    ),
}
