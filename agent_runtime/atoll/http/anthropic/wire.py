"""What Anthropic clients send and read on `POST /v1/messages`.

Requests take null for absent and ignore unknown keys (metadata, cache_control,
service_tier, betas, ...). Blocks of an unknown type are refused with their place.
"""

from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject


class TextBlock(Struct, tag="text"):
    """Text, in both directions."""

    text: str


class Base64Source(Struct, tag="base64"):
    """An image in the request itself."""

    data: str


class UrlSource(Struct, tag="url"):
    """An image somewhere else."""

    url: str


class FileSource(Struct, tag="file"):
    """An image in a store of files."""

    file_id: str


class ImageBlock(Struct, tag="image"):
    """A picture."""

    source: Base64Source | UrlSource | FileSource


class ToolUseBlock(Struct, tag="tool_use"):
    """A call of a tool, in both directions; `input` keeps its order."""

    id: str
    name: str
    input: JsonObject


class ToolResultBlock(Struct, tag="tool_result"):
    """What a tool answered."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock] | None = None


class ThinkingBlock(Struct, tag="thinking"):
    """Thinking, in both directions; no local model signs it."""

    thinking: str
    signature: str = ""


class RedactedBlock(Struct, tag="redacted_thinking"):
    """Thinking that only Anthropic can read."""


BlockIn = TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedBlock


class MessageIn(Struct):
    """One message of a request."""

    role: str
    content: str | list[BlockIn]


class Tool(Struct):
    """A tool that the client offers; Anthropic's own have another type than custom."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: JsonObject | None = None


class ToolChoice(Struct):
    """Which tool must be called: auto, any, tool, or none."""

    type: str


class Thinking(Struct):
    """Whether to think; the budget is the model's own affair."""

    type: str


class OutputFormat(Struct):
    """How the answer must look."""

    type: str
    schema: JsonObject | None = None


class OutputConfig(Struct):
    """Settings of the answer."""

    format: OutputFormat | None = None


class MessagesRequest(Struct):
    """`POST /v1/messages`; `output_format` is the older place of `output_config.format`."""

    model: str | None = None
    max_tokens: int | None = None
    messages: list[MessageIn] | None = None
    system: str | list[TextBlock] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None


BlockOut = TextBlock | ThinkingBlock | ToolUseBlock


class UsageOut(Struct):
    """Tokens."""

    input_tokens: int
    output_tokens: int


class MessageOut(Struct, tag="message"):
    """The answer; at the beginning of a stream, empty."""

    id: str
    model: str
    content: list[BlockOut]
    stop_reason: str | None
    usage: UsageOut
    role: Literal["assistant"] = "assistant"
    stop_sequence: str | None = None


class MessageStart(Struct, tag="message_start"):
    """The first event of a stream."""

    message: MessageOut


class Ping(Struct, tag="ping"):
    """Says nothing, early."""


class BlockStart(Struct, tag="content_block_start"):
    """A block begins, still empty."""

    index: int
    content_block: BlockOut


class TextDelta(Struct, tag="text_delta"):
    """A piece of text."""

    text: str


class ThinkingDelta(Struct, tag="thinking_delta"):
    """A piece of thinking."""

    thinking: str


class SignatureDelta(Struct, tag="signature_delta"):
    """The last piece of a thinking block."""

    signature: str


class InputDelta(Struct, tag="input_json_delta"):
    """The input of a call as JSON text; it comes in one piece."""

    partial_json: str


class BlockDelta(Struct, tag="content_block_delta"):
    """What a block gains."""

    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockStop(Struct, tag="content_block_stop"):
    """A block is complete."""

    index: int


class Stopped(Struct):
    """Why the answer ended; which sequence stopped it, no back end tells."""

    stop_reason: str
    stop_sequence: str | None = None


class MessageDelta(Struct, tag="message_delta"):
    """The end of the answer and what it cost."""

    delta: Stopped
    usage: UsageOut


class MessageStop(Struct, tag="message_stop"):
    """The last event of a stream."""


StreamEvent = MessageStart | Ping | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop
