"""The shapes of the OpenAI and Anthropic answers (ollama-api.md 3.1)."""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

Id = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]


class ModelObject(Struct, frozen=True):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Struct, frozen=True):
    """`GET /v1/models`."""

    object: Literal["list"]
    data: list[ModelObject]


class Usage(Struct, frozen=True):
    """Tokens of a chat or a completion."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class Function(Struct, frozen=True):
    """What is called; the arguments are JSON in a string."""

    name: str | None = None
    arguments: str = ""


class ToolCall(Struct, frozen=True):
    """A call, or in a stream a part of one."""

    index: int = -1
    id: str | None = None
    function: Function = Function()


class Message(Struct, frozen=True):
    """A message, or in a stream a part of one."""

    role: str | None = None
    content: str | None = None
    tool_calls: list[ToolCall] = []


class Choice(Struct, frozen=True):
    """A choice of a whole answer."""

    message: Message
    finish_reason: str


class Completion(Struct, frozen=True):
    """`chat.completion`."""

    id: Id
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: Annotated[list[Choice], Meta(min_length=1)]
    usage: Usage


class ChunkChoice(Struct, frozen=True):
    """A choice of a streamed answer."""

    delta: Message
    finish_reason: str | None = None


class ChatChunk(Struct, frozen=True):
    """`chat.completion.chunk`."""

    id: Id
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class TextChoice(Struct, frozen=True):
    """A choice of a legacy completion."""

    text: str
    finish_reason: str | None = None


class Text(Struct, frozen=True):
    """`text_completion`, whole or streamed."""

    id: Id
    object: Literal["text_completion"]
    created: int
    choices: list[TextChoice]
    usage: Usage | None = None


class FloatVector(Struct, frozen=True):
    """An embedding as numbers."""

    object: Literal["embedding"]
    embedding: Annotated[list[float], Meta(min_length=1)]
    index: Count


class Base64Vector(Struct, frozen=True):
    """An embedding as base64 of little-endian float32."""

    object: Literal["embedding"]
    embedding: Annotated[str, Meta(min_length=1)]
    index: Count


class Floats(Struct, frozen=True):
    """`POST /v1/embeddings`."""

    object: Literal["list"]
    data: list[FloatVector]


class Base64s(Struct, frozen=True):
    """`POST /v1/embeddings` with `encoding_format` base64."""

    object: Literal["list"]
    data: list[Base64Vector]


class OpenAIError(Struct, frozen=True):
    """The inside of OpenAI's error."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIFault(Struct, frozen=True):
    """OpenAI's error envelope."""

    error: OpenAIError


class ResponseUsage(Struct, frozen=True):
    """Tokens of a response or a message."""

    input_tokens: Count
    output_tokens: Count


class OutputItem(Struct, frozen=True):
    """A part of a response: a message, a call, reasoning."""

    type: str


class Response(Struct, frozen=True):
    """`POST /v1/responses`."""

    id: Id
    object: Literal["response"]
    status: Literal["completed"]
    output: Annotated[list[OutputItem], Meta(min_length=1)]
    usage: ResponseUsage


class Completed(Struct, frozen=True):
    """The event that ends a stream of a response."""

    response: Response


class Block(Struct, frozen=True):
    """A part of an Anthropic message."""

    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Raw] = {}


class AnthropicMessage(Struct, frozen=True):
    """`POST /v1/messages`."""

    id: Id
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Block]
    stop_reason: str
    usage: ResponseUsage


class BlockDelta(Struct, frozen=True):
    """A part of a block."""

    type: str
    text: str = ""
    partial_json: str = ""


class BlockEvent(Struct, frozen=True):
    """`content_block_delta`."""

    index: Count
    delta: BlockDelta


class AnthropicError(Struct, frozen=True):
    """The inside of Anthropic's error."""

    type: str
    message: str


class AnthropicFault(Struct, frozen=True):
    """Anthropic's error envelope."""

    type: Literal["error"]
    error: AnthropicError
    request_id: str
