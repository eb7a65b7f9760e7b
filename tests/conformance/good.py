"""What a good server called `tiny` answers, and the small lies that the rows must see."""

from collections.abc import Callable
from typing import Any

from tests.fakes.upstream import (
    SSE_END,
    STATS,
    Act,
    event,
    line,
    ollama_end,
    ollama_line,
    streamed,
    whole,
)

AT = "2026-01-01T00:00:00Z"
DIGEST = "ab" * 32
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "1B",
    "quantization_level": "Q4_0",
}
LISTED = {
    "name": "tiny:latest",
    "model": "tiny:latest",
    "modified_at": AT,
    "size": 1,
    "digest": DIGEST,
    "details": DETAILS,
}
RUNNING = {
    "name": "tiny:latest",
    "model": "tiny:latest",
    "size": 1,
    "digest": DIGEST,
    "details": DETAILS,
    "expires_at": "2026-01-01T00:05:00+00:00",
    "size_vram": 0,
}
SHOWN = {
    "details": DETAILS,
    "model_info": {"general.architecture": "llama", "llama.context_length": 2048},
    "capabilities": ["completion", "tools", "thinking"],
    "modified_at": AT,
    "parameters": "stop    END",
}
LOAD = {"model": "tiny", "created_at": AT, "response": "", "done": True, "done_reason": "load"}
CALL = {
    "id": "call_a1b2c3d4",
    "function": {"index": 0, "name": "get_weather", "arguments": {"unit": "c", "city": "Turku"}},
}


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A copy that lacks these keys."""
    return {key: kept for key, kept in value.items() if key not in keys}


def chat(*lines: bytes) -> list[Act]:
    """A streamed chat of these lines."""
    return streamed(lines)


def calling(call: dict[str, Any] = CALL) -> bytes:
    """A line of a chat that calls a tool."""
    return ollama_line(tool_calls=[call])


def changed(change: Callable[[dict[str, Any]], None], **fields: Any) -> bytes:
    """A good line of a chat after `change`."""
    body: dict[str, Any] = {
        "model": "tiny",
        "created_at": AT,
        "message": {"role": "assistant", "content": "hi"},
        "done": False,
        **fields,
    }
    change(body)
    return line(body)


def last(**fields: Any) -> bytes:
    """The last line of a chat, with other values."""
    body: dict[str, Any] = {
        "model": "tiny",
        "created_at": AT,
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        **STATS,
        **fields,
    }
    return line({key: value for key, value in body.items() if value is not None})


def generated(**fields: Any) -> dict[str, Any]:
    """A whole answer of generate."""
    return {"model": "tiny", "created_at": AT, "response": "hi", "done": True,
            "done_reason": "stop", **STATS, **fields}  # fmt: skip


def sse(*choices: dict[str, Any], end: bytes = SSE_END, **fields: Any) -> list[Act]:
    """A stream of chat.completion.chunk with one choice each."""
    shared = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "tiny"}
    chunks = [event({**shared, **fields, "choices": [{"index": 0, **one}]}) for one in choices]
    return streamed([*chunks, *filter(None, [end])], "text/event-stream")


ROLE = {"delta": {"role": "assistant", "content": ""}}
WORD = {"delta": {"content": "hi"}}
STOP = {"delta": {}, "finish_reason": "stop"}


def part(index: int | None, id: str) -> dict[str, Any]:
    """A tool call in a chunk of a stream."""
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"delta": {"tool_calls": [call if index is None else {**call, "index": index}]}}


ENDED = {"delta": {}, "finish_reason": "tool_calls"}


def completed(arguments: object, reason: str = "tool_calls") -> list[Act]:
    """A chat.completion that calls one tool."""
    call = {"id": "call_a1b2c3d4", "index": 0, "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return whole({"id": "c1", "object": "chat.completion", "created": 5, "model": "tiny",
                  "choices": [choice], "usage": usage})  # fmt: skip


HELLO = chat(ollama_line("Hel"), ollama_line("lo"), ollama_end())
TOOL = chat(calling(), ollama_end())
