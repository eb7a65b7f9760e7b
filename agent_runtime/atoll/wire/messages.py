"""What a conversation is made of, in no dialect's shape.

Every dialect translates its own wire types into these and back; every model
back end does the same on its side. Nothing else travels between them.
"""

from typing import Literal

from msgspec import Struct

from atoll.wire.json import JsonObject

Role = Literal["system", "user", "assistant", "tool"]
Format = Literal["json"] | JsonObject | None
"""How the answer must look: free text, any JSON, or JSON that a schema accepts."""

Think = bool | Literal["low", "medium", "high", "max"] | None


class Call(Struct, frozen=True):
    """A model's wish to run one tool; `arguments` keep the order the model gave."""

    id: str
    name: str
    arguments: JsonObject


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation.

    `images` are base64 without a `data:` prefix. `calls` belong to the
    assistant; `tool_name` and `call_id` say which call a tool message answers.
    """

    role: Role
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    tool_name: str = ""
    call_id: str = ""


class ToolSpec(Struct, frozen=True):
    """A tool as the model sees it; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: JsonObject


class Options(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sampling options; None means: whatever the back end does by itself.

    The names are Ollama's where Ollama has one, except `max_tokens`, which is
    Ollama's `num_predict`. `extra` holds known Ollama options that other back
    ends have no word for (num_ctx, num_gpu, ...).
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repeat_penalty: float | None = None
    extra: JsonObject = {}


class Usage(Struct, frozen=True, kw_only=True):
    """What one turn or one model call cost; durations in nanoseconds, all measured."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    load_ns: int = 0
    prompt_ns: int = 0
    completion_ns: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            load_ns=self.load_ns + other.load_ns,
            prompt_ns=self.prompt_ns + other.prompt_ns,
            completion_ns=self.completion_ns + other.completion_ns,
        )
