"""Conversations with tools, for models whose chat template knows no tools."""

from collections.abc import Sequence

import msgspec

from atoll.wire.messages import Call, Message


def without_tool_roles(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation in system, user and assistant messages alone.

    A template without tools drops calls silently and may refuse the role.
    """
    return tuple(_plain(message) for message in messages)


def _plain(message: Message) -> Message:
    if message.role == "tool":
        name = message.tool_name or "The tool"
        return Message(role="user", content=f"{name} returned:\n{message.content}")
    if not message.calls:
        return message
    used = "\n".join(_used(call) for call in message.calls)
    content = f"{message.content}\n{used}" if message.content else used
    return Message(role=message.role, content=content, images=message.images)


def _used(call: Call) -> str:
    return f"I used {call.name} with {msgspec.json.encode(call.arguments).decode()}."
