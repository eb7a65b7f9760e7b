"""Chat completion requests as turns; pure, and every fault is a ClientError."""

import re

import msgspec

from atoll.errors import ClientError
from atoll.http.openai.wire import (
    CompletionRequest,
    MessageIn,
    Part,
    ResponseFormat,
    ToolCallIn,
)
from atoll.http.roles import role_of
from atoll.http.tools_in import tool_specs
from atoll.wire.json import JsonObject
from atoll.wire.messages import Call, Format, Message, Options, Think
from atoll.wire.turn import TurnRequest

decoder = msgspec.json.Decoder(CompletionRequest)

_arguments = msgspec.json.Decoder(JsonObject)
_DATA_URL = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,(?P<data>[A-Za-z0-9+/=]*)")
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}


def completion_turn(request: CompletionRequest) -> TurnRequest:
    """The turn a request asks for. What it leaves out is the manifest's to say."""
    return TurnRequest(
        model=request.model or "",
        messages=tuple(_message(message) for message in request.messages or ()),
        options=_options(request),
        client_tools=tool_specs(request.tools),
        format=_format(request.response_format),
        think=_think(request.reasoning_effort),
        logprobs=request.logprobs is True,
        top_logprobs=request.top_logprobs or 0,
    )


def _options(request: CompletionRequest) -> Options:
    stop = request.stop or ()
    return Options(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        seed=request.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
    )


def _format(given: ResponseFormat | None) -> Format:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return "json"
    if given.type == "json_schema" and given.json_schema is not None:
        return given.json_schema.schema
    raise ClientError(f"response_format {given.type!r} is not text, json_object or json_schema")


def _think(effort: str | None) -> Think:
    if effort is None:
        return None
    if effort not in _EFFORTS:
        raise ClientError(f"reasoning_effort {effort!r} is not one of {', '.join(_EFFORTS)}")
    return _EFFORTS[effort]


def _message(message: MessageIn) -> Message:
    content = message.content or ""
    parts = [Part("text", content)] if isinstance(content, str) else content
    if any(part.type == "input_audio" for part in parts):
        raise ClientError("audio is not supported: send the text of it, in a part of type text")
    return Message(
        role=role_of(message.role),
        content="".join(part.text or "" for part in parts if part.type == "text"),
        thinking=message.reasoning or "",
        images=tuple(_image(part) for part in parts if part.type == "image_url"),
        calls=tuple(_call(call) for call in message.tool_calls or ()),
        tool_name=message.name or "",
        call_id=message.tool_call_id or "",
    )


def _image(part: Part) -> str:
    url = part.image_url if isinstance(part.image_url, str) else getattr(part.image_url, "url", "")
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise ClientError(
            "image URLs are not currently supported, please use base64 encoded data instead"
        )
    return found["data"]


def _call(call: ToolCallIn) -> Call:
    try:
        arguments = _arguments.decode(call.function.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        raise ClientError("the arguments of a tool call are not a JSON object") from None
    return Call(call.id or "", call.function.name, arguments)
