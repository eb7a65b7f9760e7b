"""Chat completion requests as turns; pure, and every fault is a ClientError."""

import msgspec

from atoll.errors import ClientError
from atoll.http.openai.wire import (
    CompletionRequest,
    MessageIn,
    Part,
    ResponseFormat,
    ToolCallIn,
)
from atoll.http.openai.words import arguments_of, image_of, stops_of, think_of
from atoll.http.roles import role_of
from atoll.http.schemas import checked
from atoll.http.tools_in import tool_specs
from atoll.wire.messages import Call, Format, Message, Options
from atoll.wire.turn import TurnRequest

decoder = msgspec.json.Decoder(CompletionRequest)


def completion_turn(request: CompletionRequest) -> TurnRequest:
    """The turn a request asks for. What it leaves out is the manifest's to say."""
    return TurnRequest(
        model=request.model or "",
        messages=tuple(_message(message) for message in request.messages or ()),
        options=_options(request),
        client_tools=tool_specs(request.tools),
        format=_format(request.response_format),
        think=think_of(request.reasoning_effort),
        logprobs=request.logprobs is True,
        top_logprobs=request.top_logprobs or 0,
    )


def _options(request: CompletionRequest) -> Options:
    return Options(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        seed=request.seed,
        stop=stops_of(request.stop),
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
    )


def _format(given: ResponseFormat | None) -> Format:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return "json"
    if given.type == "json_schema" and given.json_schema is not None:
        schema = given.json_schema.schema
        return None if schema is None else checked(schema)
    raise ClientError(f"response_format {given.type!r} is not text, json_object or json_schema")


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
    return image_of(url)


def _call(call: ToolCallIn) -> Call:
    return Call(call.id or "", call.function.name, arguments_of(call.function.arguments))
