"""A ModelRequest in the words of /v1/chat/completions and /v1/completions."""

import hashlib
from collections.abc import Sequence

import msgspec

from atoll.adapters.ollama_wire import tool_json
from atoll.ports import EmbedRequest, ModelRequest
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.messages import Call, Format, Message, Options, Think

_IMAGES = {"/9j/": "jpeg", "iVBOR": "png", "R0lG": "gif", "UklG": "webp"}
"""How base64 of an image file begins -> its media type."""


def body_of(model: str, request: ModelRequest, *, strict: bool) -> JsonObject:
    """The streaming body of a request.

    `strict` is for OpenAI's own server, which refuses every field it does not
    know and calls the token limit `max_completion_tokens`. vLLM, llama.cpp and
    OpenRouter take Ollama's samplers too.
    """
    body: JsonObject = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **_prompt(request),
        **_options(request.options, strict=strict),
        **({} if strict else _samplers(request.options)),
        "response_format": _response_format(request.format),
        **_thinking(request.think, strict=strict),
        **_logprobs(request),
    }
    return {key: value for key, value in body.items() if value is not None}


def embed_body_of(model: str, request: EmbedRequest) -> JsonObject:
    """The body for /v1/embeddings.

    It has no word for `truncate`, and servers refuse `dimensions` for models
    that were not trained for them: whoever wants fewer cuts the answer.
    """
    inputs: list[JsonValue] = list(request.inputs)
    return {"model": model, "input": inputs, "encoding_format": "float"}


def _prompt(request: ModelRequest) -> JsonObject:
    if request.raw_prompt is not None:
        return {"prompt": request.raw_prompt, "suffix": request.suffix or None}
    tools: list[JsonValue] = [tool_json(tool) for tool in request.tools]
    return {"messages": messages_json(request.messages), "tools": tools or None}


def _options(options: Options, *, strict: bool) -> JsonObject:
    limit = "max_completion_tokens" if strict else "max_tokens"
    unlimited = options.max_tokens is None or options.max_tokens < 0
    return {
        "temperature": options.temperature,
        "top_p": options.top_p,
        limit: None if unlimited else options.max_tokens,
        "seed": options.seed,
        "stop": list(options.stop) or None,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
    }


def _samplers(options: Options) -> JsonObject:
    return {
        "top_k": options.top_k,
        "min_p": options.min_p,
        "repeat_penalty": options.repeat_penalty,
        "repetition_penalty": options.repeat_penalty,
    }


def _response_format(wanted: Format) -> JsonValue:
    match wanted:
        case None:
            return None
        case "json":
            return {"type": "json_object"}
        case schema:
            return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _thinking(think: Think, *, strict: bool) -> JsonObject:
    match think:
        case "low" | "medium" | "high":
            return {"reasoning_effort": think}
        case "max":
            return {"reasoning_effort": "high"}
        case bool() if not strict:
            return {"chat_template_kwargs": {"enable_thinking": think}}
        case _:
            return {}


def _logprobs(request: ModelRequest) -> JsonObject:
    """/v1/completions takes the number of alternatives for yes."""
    if not request.logprobs:
        return {}
    if request.raw_prompt is not None:
        return {"logprobs": max(1, request.top_logprobs)}
    return {"logprobs": True, "top_logprobs": request.top_logprobs or None}


def messages_json(messages: Sequence[Message]) -> list[JsonValue]:
    """The messages; a result without a call id gets that of the oldest unanswered call."""
    open_calls: list[Call] = []
    made: list[JsonValue] = []
    for place, message in enumerate(messages):
        calls = tuple(_with_id(call, place, i) for i, call in enumerate(message.calls))
        open_calls += calls
        made.append(_message(message, calls, open_calls))
    return made


def _with_id(call: Call, place: int, index: int) -> Call:
    return call if call.id else Call(f"call_{place}_{index}", call.name, call.arguments)


def _message(message: Message, calls: tuple[Call, ...], open_calls: list[Call]) -> JsonObject:
    body: JsonObject = {"role": message.role, "content": _content(message)}
    if calls:
        body |= {"content": message.content or None, "tool_calls": [_call(call) for call in calls]}
    if message.role == "tool":
        body["tool_call_id"] = _short(_answered(message, open_calls))
    return body


def _answered(message: Message, open_calls: list[Call]) -> str:
    """The id of the call that a tool message answers, which is closed by it."""
    for call in open_calls:
        if message.call_id == call.id or (
            not message.call_id and message.tool_name in ("", call.name)
        ):
            open_calls.remove(call)
            return call.id
    return message.call_id or "call_0"


def _call(call: Call) -> JsonObject:
    arguments = msgspec.json.encode(call.arguments).decode()
    function: JsonObject = {"name": call.name, "arguments": arguments}
    return {"id": _short(call.id), "type": "function", "function": function}


def _short(call_id: str) -> str:
    """An id that every server takes: Mistral's chat templates refuse all but nine of [a-zA-Z0-9].

    A client's ids mean nothing to a server, which has no memory of them; only
    that a call and its result have the same one.
    """
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _content(message: Message) -> JsonValue:
    if not message.images:
        return message.content
    parts: list[JsonValue] = [{"type": "text", "text": message.content}] if message.content else []
    return parts + [_image(image) for image in message.images]


def _image(image: str) -> JsonValue:
    kind = next((kind for start, kind in _IMAGES.items() if image.startswith(start)), "jpeg")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{image}"}}
