"""What Ollama clients send and read (ollama-api.md 1.2 and 1.3).

Requests take null for absent everywhere, as Go does, and ignore unknown keys.
In answers a key with a default is left out when it has it; durations are
nanoseconds, times RFC 3339 in UTC.
"""

from datetime import datetime

from msgspec import Struct

from atoll.http.tools_in import ToolIn
from atoll.wire.json import JsonObject, JsonValue
from atoll.wire.logprobs import Logprob


class CallFunction(Struct, omit_defaults=True):
    """The inside of a tool call; `arguments` is an object, never a string."""

    name: str
    arguments: JsonObject | None = None
    index: int | None = None


class ToolCallIn(Struct):
    """A tool call in a message's history."""

    function: CallFunction
    id: str | None = None


class MessageIn(Struct):
    """One message of a request; any role string is taken."""

    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Request(Struct, kw_only=True):
    """What chat and generate have in common."""

    model: str | None = None
    stream: bool | None = None
    format: JsonValue = None
    keep_alive: JsonValue = None
    options: JsonObject | None = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ChatRequest(Request):
    """`POST /api/chat`."""

    messages: list[MessageIn] | None = None
    tools: list[ToolIn] | None = None


class GenerateRequest(Request):
    """`POST /api/generate`."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[str] | None = None


class NameRequest(Struct):
    """A request about a model by its name; `name` is the older spelling of `model`."""

    model: str | None = None
    name: str | None = None


class FunctionOut(Struct):
    """The inside of a tool call in an answer."""

    index: int
    name: str
    arguments: JsonObject


class ToolCallOut(Struct):
    """A tool call in an answer."""

    id: str
    function: FunctionOut


class MessageOut(Struct, omit_defaults=True):
    """The message of a chat chunk; `content` is always there."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: list[ToolCallOut] = []


class ChatChunk(Struct, kw_only=True, omit_defaults=True):
    """One line of `/api/chat`; the metrics are in the last one. Keys in Ollama's order."""

    model: str
    created_at: datetime
    message: MessageOut
    done: bool
    done_reason: str = ""
    logprobs: tuple[Logprob, ...] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class GenerateChunk(Struct, kw_only=True, omit_defaults=True):
    """One line of `/api/generate`; context and metrics are in the last one."""

    model: str
    created_at: datetime
    response: str
    thinking: str = ""
    done: bool
    context: list[int] = []
    done_reason: str = ""
    logprobs: tuple[Logprob, ...] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


Chunk = ChatChunk | GenerateChunk


class Details(Struct):
    """What a model is made of; "" where the back end does not say."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class ListModel(Struct):
    """A row of `/api/tags`; `size` in bytes."""

    name: str
    model: str
    modified_at: datetime
    size: int
    digest: str
    details: Details
    capabilities: list[str]


class Tags(Struct):
    """`GET /api/tags`."""

    models: list[ListModel]


class PsModel(Struct):
    """A row of `/api/ps`; `expires_at` has an offset, older Pythons cannot read a Z."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int


class Ps(Struct):
    """`GET /api/ps`."""

    models: list[PsModel]


class Version(Struct):
    """`GET /api/version`."""

    version: str


class Show(Struct):
    """`POST /api/show`; no field is ever null, clients crash on it."""

    modelfile: str
    parameters: str
    template: str
    system: str
    license: str
    details: Details
    model_info: JsonObject
    capabilities: list[str]
    modified_at: datetime
