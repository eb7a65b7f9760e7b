"""Ollama's requests as turns; pure, and every fault is a ClientError with Ollama's words."""

import binascii

import msgspec

from atoll.errors import ClientError
from atoll.http.ollama.keepalive import keep_alive_seconds
from atoll.http.ollama.options import options_of
from atoll.http.ollama.wire import (
    ChatRequest,
    GenerateRequest,
    MessageIn,
    NameRequest,
    Request,
    ToolCallIn,
)
from atoll.http.roles import role_of
from atoll.http.schemas import checked
from atoll.http.tools_in import tool_specs
from atoll.wire.json import JsonValue
from atoll.wire.messages import Call, Format, Message, Think, ToolSpec
from atoll.wire.turn import TurnRequest

chat_decoder = msgspec.json.Decoder(ChatRequest)
generate_decoder = msgspec.json.Decoder(GenerateRequest)
name_decoder = msgspec.json.Decoder(NameRequest)

_LEVELS = ("high", "medium", "low", "max")


def chat_turn(request: ChatRequest) -> TurnRequest:
    """The turn a `/api/chat` request asks for."""
    return _turn(
        request,
        messages=tuple(map(_message, request.messages or ())),
        client_tools=tool_specs(request.tools),
    )


def generate_turn(request: GenerateRequest, history: tuple[Message, ...]) -> TurnRequest:
    """The turn a `/api/generate` request asks for; `history` is what its context stands for."""
    prompt = request.prompt or ""
    if request.raw:
        return _turn(request, raw_prompt=prompt)
    if request.suffix:
        return _turn(request, raw_prompt=prompt, suffix=request.suffix)
    system = (Message(role="system", content=request.system),) if request.system else ()
    user = Message(role="user", content=prompt, images=_images(request.images))
    return _turn(request, messages=(*history, *system, user))


def _turn(
    request: Request,
    *,
    messages: tuple[Message, ...] = (),
    client_tools: tuple[ToolSpec, ...] = (),
    raw_prompt: str | None = None,
    suffix: str = "",
) -> TurnRequest:
    return TurnRequest(
        model=request.model or "",
        messages=messages,
        options=options_of(request.options),
        client_tools=client_tools,
        format=_format(request.format),
        think=think_of(request.think),
        raw_prompt=raw_prompt,
        suffix=suffix,
        keep_alive=keep_alive_seconds(request.keep_alive),
        logprobs=request.logprobs is True,
        top_logprobs=request.top_logprobs or 0,
    )


def check_raw(request: GenerateRequest) -> None:
    """Raise ClientError when `raw` comes with what it leaves no place for."""
    if request.raw and (request.template or request.system or request.context):
        raise ClientError("raw mode does not support template, system, or context")
    if request.images and (request.raw or request.suffix):
        raise ClientError("images are not supported here together with raw or suffix")


def think_of(value: bool | str | None) -> Think:
    """`think` as the loop knows it; raises ClientError on an unknown level."""
    match value:
        case None | bool():
            return value
        case "high" | "medium" | "low" | "max":
            return value
        case _:
            levels = ", ".join(f'"{level}"' for level in _LEVELS)
            raise ClientError(f'invalid think value: "{value}" (must be {levels}, true, or false)')


def _format(value: JsonValue) -> Format:
    match value:
        case None | "":
            return None
        case "json":
            return value
        case dict():
            return checked(value)
        case _:
            raise ClientError('invalid format: expected "json" or a JSON Schema object')


def _message(message: MessageIn) -> Message:
    return Message(
        role=role_of(message.role),
        content=message.content or "",
        thinking=message.thinking or "",
        images=_images(message.images),
        calls=tuple(map(_call, message.tool_calls or ())),
        tool_name=message.tool_name or "",
        call_id=message.tool_call_id or "",
    )


def _call(call: ToolCallIn) -> Call:
    return Call(call.id or "", call.function.name, call.function.arguments or {})


def _images(images: list[str] | None) -> tuple[str, ...]:
    for image in images or ():
        try:
            binascii.a2b_base64(image, strict_mode=True)
        except ValueError:
            raise ClientError("an image is not base64 (without a data: prefix)") from None
    return tuple(images or ())
