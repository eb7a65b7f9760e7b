"""One failure, spelled as each dialect spells errors (DESIGN section 7).

Ollama's paths answer `{"error": str, "detail": str}`, `/v1` OpenAI's envelope,
`/v1/messages` Anthropic's, everything else `{"detail", "code", "who"}`. Never a traceback.
"""

import secrets
from typing import Literal

import msgspec
from msgspec import Struct

from atoll.errors import AtollError, ClientError
from atoll.wire.events import INTERNAL, Failure

Dialect = Literal["ollama", "openai", "anthropic", "atoll"]

STOPPING = Failure("stopping", "the agent is stopping", "atoll", 503)

_OPENAI_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}
_encode = msgspec.json.Encoder().encode


class UnsupportedType(ClientError):
    """The body is declared to be something else than JSON."""

    code = "unsupported_media_type"
    status = 415


class TurnFailed(Exception):
    """A turn failed before anything of it was sent."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class NativeError(Struct, frozen=True):
    """Ollama's error; `detail` is what the source pages read (seeds-contract section 6)."""

    error: str
    detail: str


class OpenAiError(Struct, frozen=True):
    """The inside of OpenAI's error envelope."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Envelope(Struct, frozen=True):
    """OpenAI's error."""

    error: OpenAiError


class AnthropicError(Struct, frozen=True):
    """The inside of Anthropic's error envelope."""

    type: str
    message: str


class AnthropicEnvelope(Struct, frozen=True):
    """Anthropic's error (ollama-api.md, section of errors)."""

    error: AnthropicError
    request_id: str
    type: Literal["error"] = "error"


class PlainError(Struct, frozen=True):
    """Everybody else's error: what, a stable code, and the side that has to mend it."""

    detail: str
    code: str
    who: str


def dialect_of(path: str) -> Dialect:
    """The dialect that is spoken at `path`."""
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return "anthropic"
    if path.startswith("/v1/"):
        return "openai"
    if path.startswith("/api/") and not path.startswith("/api/v1/"):
        return "ollama"
    return "atoll"


def failure_of(error: Exception) -> Failure:
    """What `error` means to a client; anything not raised on purpose is our own fault."""
    if isinstance(error, TurnFailed):
        return error.failure
    if isinstance(error, AtollError):
        return Failure(error.code, str(error), error.who, error.status)
    return INTERNAL


def error_body(dialect: Dialect, failure: Failure) -> bytes:
    """The JSON body of `failure` in `dialect`."""
    match dialect:
        case "ollama":
            return _encode(NativeError(failure.message, failure.message))
        case "openai":
            return _encode(envelope(failure))
        case "anthropic":
            return anthropic_error(failure, f"req_{secrets.token_hex(12)}")
        case "atoll":
            return _encode(PlainError(failure.message, failure.code, failure.who))


def envelope(failure: Failure) -> Envelope:
    """OpenAI's error envelope, also sent inside a stream."""
    kind = _OPENAI_TYPES.get(failure.status, "api_error")
    return Envelope(OpenAiError(failure.message, kind))


def anthropic_error(failure: Failure, request_id: str) -> bytes:
    """Anthropic's error envelope, also sent inside a stream."""
    kind = _ANTHROPIC_TYPES.get(failure.status, "api_error")
    return _encode(AnthropicEnvelope(AnthropicError(kind, failure.message), request_id))
