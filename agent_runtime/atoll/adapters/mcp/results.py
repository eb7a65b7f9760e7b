"""What a call of a server's tool came to, as text for the model."""

import msgspec
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from atoll.adapters.tool_text import cut, sendable
from atoll.ports import Outcome


def outcome_of(result: CallToolResult, most: int) -> Outcome:
    """The result with at most `most` characters; what is no text is named and left out."""
    text = "\n".join(_text(block) for block in result.content)
    if not result.content and result.structured_content is not None:
        text = msgspec.json.encode(result.structured_content).decode()
    return Outcome(cut(sendable(text), most), failed=bool(result.is_error))


def _text(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type} of type {block.mime_type}: left out]"
        case ResourceLink():
            return f"[{block.name}: {block.uri}]"
        case EmbeddedResource():
            return _resource(block.resource)


def _resource(resource: TextResourceContents | BlobResourceContents) -> str:
    match resource:
        case TextResourceContents():
            return resource.text
        case BlobResourceContents():
            return f"[{resource.uri} of type {resource.mime_type}: left out]"
