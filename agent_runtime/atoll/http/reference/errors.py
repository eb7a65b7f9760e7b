"""The errors that an operation may answer, each in the shape of its path's dialect. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from atoll.http.bearer import OPEN
from atoll.http.faults import (
    AnthropicEnvelope,
    Dialect,
    Envelope,
    NativeError,
    PlainError,
    anthropic_error,
    dialect_of,
    error_body,
)
from atoll.http.reference.operation import Operation, Type
from atoll.wire.events import INTERNAL, Failure
from atoll.wire.json import JsonObject

ERROR_TYPES: Mapping[Dialect, Type] = {
    "ollama": NativeError,
    "openai": Envelope,
    "anthropic": AnthropicEnvelope,
    "atoll": PlainError,
}
_REQUEST = "req_0123456789abcdef01234567"
_decode = msgspec.json.Decoder(JsonObject).decode

_WRONG = Failure("bad_request", "the body is not valid JSON", "client", 400)
_TOKEN = Failure("unauthorized", "this agent needs its token", "client", 401)
_UNKNOWN = Failure("not_found", "there is nothing of this name", "client", 404)
_LARGE = Failure("too_large", "the body has more than 10485760 bytes", "client", 413)
_DOWN = Failure("upstream_refused", "nothing listens at the model's address", "upstream", 502)
_BUSY = Failure("busy", "the agent has no room for another turn now", "atoll", 503)


def errors_of(operation: Operation, *, is_private: bool) -> Iterator[tuple[str, str, JsonObject]]:
    """Status, meaning and an example of each; `default` is any other status."""
    for status, meaning, failure in _failures(operation, is_private):
        yield status, meaning, _body(operation.path, failure)


def _failures(operation: Operation, is_private: bool) -> Iterator[tuple[str, str, Failure]]:
    example = operation.example or {}
    if operation.takes or operation.query:
        yield "400", "The request is wrong; the message says where", _WRONG
    if is_private and operation.path not in OPEN:
        yield "401", "The agent's token is missing or wrong", _TOKEN
    if "model" in example or operation.parameters:
        yield "404", "There is nothing of this name here", _UNKNOWN
    if operation.takes:
        yield "413", "The body is too large", _LARGE
    if operation.turn:
        yield "502", "The model's server failed before the answer began", _DOWN
        yield "503", "No room now; the same request may pass later", _BUSY
    yield "default", "Any other error, in the same shape", INTERNAL


def _body(path: str, failure: Failure) -> JsonObject:
    dialect = dialect_of(path)
    if dialect == "anthropic":
        return _decode(anthropic_error(failure, _REQUEST))
    return _decode(error_body(dialect, failure))
