"""The shapes of Ollama's answers (ollama-api.md 1.3); a key without a default must be there.

Decoding is the check: msgspec refuses a missing key, a string where an object
belongs, an epoch where RFC 3339 belongs.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Raw, Struct

Moment = Annotated[datetime, Meta(tz=True)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0)]


class Version(Struct, frozen=True):
    """`GET /api/version`."""

    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]


class Details(Struct, frozen=True):
    """What a model is made of."""

    parent_model: str
    format: str
    family: str
    families: list[str] | None
    parameter_size: str
    quantization_level: str


class ListModel(Struct, frozen=True):
    """A line of `/api/tags`."""

    name: str
    model: str
    modified_at: Moment
    size: Count
    digest: Digest
    details: Details


class Tags(Struct, frozen=True):
    """`GET /api/tags`."""

    models: list[ListModel]


class PsModel(Struct, frozen=True):
    """A line of `/api/ps`."""

    name: str
    model: str
    size: Count
    digest: Digest
    details: Details
    expires_at: Moment
    size_vram: Count
    context_length: Count = 0


class Ps(Struct, frozen=True):
    """`GET /api/ps`."""

    models: list[PsModel]


class Show(Struct, frozen=True):
    """`POST /api/show`."""

    details: Details
    model_info: dict[str, Raw]
    capabilities: list[str]
    modified_at: Moment
    parameters: str = ""


class Progress(Struct, frozen=True):
    """A line of a pull: progress or an error."""

    status: str = ""
    error: str = ""


class Cloud(Struct, frozen=True):
    """Whether the cloud is used."""

    disabled: bool
    source: str


class Status(Struct, frozen=True):
    """`GET /api/status`."""

    cloud: Cloud


class TopLogprob(Struct, frozen=True):
    """A token that could have been."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class Logprob(Struct, frozen=True):
    """A token, and how likely it was."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = []


class Chunk(Struct, frozen=True):
    """What the lines of chat and generate have in common; `error` must not be there."""

    model: str
    created_at: Moment
    done: bool
    done_reason: str = ""
    error: None = None
    logprobs: list[Logprob] = []
    total_duration: Count = 0
    load_duration: Count = 0
    prompt_eval_count: Count = 0
    prompt_eval_duration: Count = 0
    eval_count: Count = 0
    eval_duration: Count = 0


class GenerateChunk(Chunk, frozen=True, kw_only=True):
    """A line of `/api/generate`."""

    response: str
    thinking: str = ""
    context: list[int] = []

    @property
    def said(self) -> str:
        """The text."""
        return self.response

    @property
    def thought(self) -> str:
        """What it thought."""
        return self.thinking


class FunctionCall(Struct, frozen=True):
    """What is called; the arguments are an object here and a string in /v1."""

    name: str
    index: Count
    arguments: dict[str, Raw]


class ToolCall(Struct, frozen=True):
    """One call of a tool."""

    id: Annotated[str, Meta(pattern=r"^call_[a-z0-9]{8}$")]
    function: FunctionCall


class Message(Struct, frozen=True):
    """A part of the answer of `/api/chat`; `content` is always there."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: list[ToolCall] = []


class ChatChunk(Chunk, frozen=True, kw_only=True):
    """A line of `/api/chat`."""

    message: Message

    @property
    def said(self) -> str:
        """The text."""
        return self.message.content

    @property
    def thought(self) -> str:
        """What it thought."""
        return self.message.thinking


class Embed(Struct, frozen=True):
    """`POST /api/embed`."""

    model: str
    embeddings: list[list[float]]


class Embedding(Struct, frozen=True):
    """`POST /api/embeddings`."""

    embedding: list[float]


class Person(Struct, frozen=True):
    """The schema that the format rows ask for."""

    name: str
    age: int
