"""What OpenAI clients send and read on chat completions and models.

Requests take null for absent and ignore unknown keys (tool_choice, n, user,
logit_bias, ...). Times are whole seconds since the epoch.
"""

from msgspec import Struct

from atoll.http.tools_in import ToolIn
from atoll.wire.json import JsonObject


class ImageUrl(Struct):
    """A data URL."""

    url: str


class Part(Struct):
    """A part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None


class FunctionIn(Struct):
    """The inside of a tool call; `arguments` is JSON text."""

    name: str
    arguments: str | None = None


class ToolCallIn(Struct):
    """A tool call in a message's history."""

    function: FunctionIn
    id: str | None = None


class MessageIn(Struct):
    """One message of a request."""

    role: str | None = None
    content: str | list[Part] | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class JsonSchema(Struct):
    """The named schema of a response format."""

    schema: JsonObject | None = None


class ResponseFormat(Struct):
    """How the answer must look: text, json_object or json_schema."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    """What a stream has besides its chunks."""

    include_usage: bool | None = None


class CompletionRequest(Struct):
    """`POST /v1/chat/completions`."""

    model: str | None = None
    messages: list[MessageIn] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[ToolIn] | None = None


class FunctionOut(Struct):
    """The inside of a tool call in an answer; `arguments` is JSON text."""

    name: str
    arguments: str


class ToolCallOut(Struct):
    """A tool call in an answer."""

    id: str
    index: int
    type: str
    function: FunctionOut


class MessageOut(Struct, omit_defaults=True):
    """The message of an answer in one piece."""

    role: str
    content: str
    reasoning: str = ""
    tool_calls: list[ToolCallOut] = []


class Delta(Struct, omit_defaults=True):
    """What one chunk adds; `role` is in the first one only."""

    role: str = ""
    content: str | None = None
    reasoning: str = ""
    tool_calls: list[ToolCallOut] = []


class AlternativeOut(Struct):
    """A token that was possible at one place; null where its bytes are not known."""

    token: str
    logprob: float
    bytes: list[int] | None


class LogprobOut(AlternativeOut):
    """The token that was taken there."""

    top_logprobs: list[AlternativeOut]


class ChoiceLogprobs(Struct):
    """The tokens of a choice, or of what one chunk adds to it."""

    content: list[LogprobOut]


class Choice(Struct, omit_defaults=True):
    """The one choice of an answer."""

    index: int
    message: MessageOut
    finish_reason: str
    logprobs: ChoiceLogprobs | None = None


class ChunkChoice(Struct, omit_defaults=True):
    """The one choice of a chunk."""

    index: int
    delta: Delta
    finish_reason: str | None
    logprobs: ChoiceLogprobs | None = None


class UsageOut(Struct):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Struct):
    """An answer in one piece."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: UsageOut


class CompletionChunk(Struct, omit_defaults=True):
    """One chunk of a stream."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: UsageOut | None = None


class ModelOut(Struct):
    """A model."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(Struct):
    """`GET /v1/models`."""

    object: str
    data: list[ModelOut]
