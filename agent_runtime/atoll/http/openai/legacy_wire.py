"""What OpenAI clients send and read on the legacy `POST /v1/completions`.

Requests take null for absent. What a chat model cannot do (n, best_of, echo,
logit_bias, logprobs) is ignored, as upstream does.
"""

from msgspec import Struct

from atoll.http.openai.wire import StreamOptions, UsageOut
from atoll.wire.json import JsonValue


class TextRequest(Struct):
    """`POST /v1/completions`; `prompt` is looked at by hand, for OpenAI has four shapes of it."""

    model: str | None = None
    prompt: JsonValue = None
    suffix: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class TextChoice(Struct):
    """The one choice; in a stream, what one chunk adds to it."""

    text: str
    index: int
    finish_reason: str | None


class TextCompletion(Struct, omit_defaults=True):
    """An answer in one piece, or one chunk of a stream: OpenAI spells both alike."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: UsageOut | None = None
