"""The input of `/v1/responses` as messages; pure, and every fault is a ClientError.

A response is several items where a message is one: an assistant's words and
the calls after them become one message again, as the model once said them.
"""

import msgspec

from atoll.errors import ClientError
from atoll.http.openai.words import arguments_of, image_of
from atoll.http.responses.wire import ItemIn, PartIn
from atoll.http.roles import role_of
from atoll.wire.messages import Call, Message

_KNOWN = "message, function_call, function_call_output or reasoning"


def conversation(given: str | list[ItemIn] | None) -> tuple[Message, ...]:
    """The messages that an input stands for."""
    if isinstance(given, str):
        return (Message(role="user", content=given),) if given else ()
    messages: list[Message] = []
    for item in given or ():
        _add(messages, item)
    return tuple(messages)


def _add(messages: list[Message], item: ItemIn) -> None:
    match item.type:
        case None | "message":
            text, images = _content(item.content)
            messages.append(Message(role=role_of(item.role), content=text, images=images))
        case "function_call":
            _attach(messages, _call(item))
        case "function_call_output":
            messages.append(_result(messages, item))
        case "reasoning":
            pass  # a model thinks anew in each turn; what it thought before is not its to read
        case "item_reference":
            raise ClientError("item_reference is not supported: nothing is stored, send the item")
        case kind:
            raise ClientError(f"input items of type {kind!r} are not supported: send {_KNOWN}")


def _attach(messages: list[Message], call: Call) -> None:
    if messages and messages[-1].role == "assistant":
        spoken = messages.pop()
        messages.append(msgspec.structs.replace(spoken, calls=(*spoken.calls, call)))
    else:
        messages.append(Message(role="assistant", calls=(call,)))


def _call(item: ItemIn) -> Call:
    if not item.name:
        raise ClientError("a function_call needs the name of its function")
    return Call(item.call_id or "", item.name, arguments_of(item.arguments))


def _result(messages: list[Message], item: ItemIn) -> Message:
    text, images = _content(item.output)
    called = item.call_id or ""
    calls = [call for message in messages for call in message.calls if call.id == called]
    name = calls[-1].name if called and calls else ""
    return Message(role="tool", content=text, images=images, tool_name=name, call_id=called)


def _content(content: str | list[PartIn] | None) -> tuple[str, tuple[str, ...]]:
    """Text and images of a content."""
    if content is None or isinstance(content, str):
        return content or "", ()
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        match part.type:
            case "input_text" | "output_text" | "text":
                texts.append(part.text or "")
            case "refusal":
                texts.append(part.refusal or "")
            case "input_image":
                images.append(image_of(part.image_url or ""))
            case kind:
                known = "input_text, output_text or input_image"
                raise ClientError(f"content of type {kind!r} is not supported: send {known}")
    return "".join(texts), tuple(images)
