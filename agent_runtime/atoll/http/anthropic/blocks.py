"""Anthropic's messages, which are lists of blocks, as messages of a conversation; pure.

One message of theirs may be several of ours: each tool's result is one of its
own, in the place where it stood.
"""

import binascii

from atoll.errors import ClientError
from atoll.http.anthropic.wire import (
    Base64Source,
    BlockIn,
    ImageBlock,
    MessageIn,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from atoll.wire.messages import Call, Message, Role


def spoken(message: MessageIn) -> list[Message]:
    """The messages that one of Anthropic's stands for; raises ClientError."""
    role, content = _role(message.role), message.content
    blocks: list[BlockIn] = [TextBlock(content)] if isinstance(content, str) else content
    found: list[Message] = []
    run: list[BlockIn] = []
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            found += [*_gathered(role, run), _result(block)]
            run = []
        else:
            run.append(block)
    return [*found, *_gathered(role, run)]


def plain_text(content: str | list[TextBlock] | None) -> str:
    """The text of a system prompt."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text for block in content)


def _role(role: str) -> Role:
    match role:
        case "user" | "assistant" | "system":
            return role
        case _:
            raise ClientError(f"the role {role!r} of a message is not user or assistant")


def _gathered(role: Role, blocks: list[BlockIn]) -> list[Message]:
    """One message of these blocks, or none where there are none; redacted thinking is nobody's."""
    if not blocks:
        return []
    made = Message(
        role=role,
        content="".join(b.text for b in blocks if isinstance(b, TextBlock)),
        thinking="".join(b.thinking for b in blocks if isinstance(b, ThinkingBlock)),
        images=tuple(_image(b) for b in blocks if isinstance(b, ImageBlock)),
        calls=tuple(_call(b) for b in blocks if isinstance(b, ToolUseBlock)),
    )
    return [made]


def _call(block: ToolUseBlock) -> Call:
    return Call(block.id, block.name, block.input)


def _result(block: ToolResultBlock) -> Message:
    content = block.content or ""
    parts = [TextBlock(content)] if isinstance(content, str) else content
    return Message(
        role="tool",
        content="".join(part.text for part in parts if isinstance(part, TextBlock)),
        images=tuple(_image(part) for part in parts if isinstance(part, ImageBlock)),
        call_id=block.tool_use_id,
    )


def _image(block: ImageBlock) -> str:
    if not isinstance(block.source, Base64Source):
        raise ClientError("an image must be sent as base64: nothing is fetched here")
    try:
        binascii.a2b_base64(block.source.data, strict_mode=True)
    except ValueError:
        raise ClientError("the data of an image is not base64") from None
    return block.source.data
