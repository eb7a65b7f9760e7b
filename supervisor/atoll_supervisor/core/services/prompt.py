"""A prompt to a model server: what is sent, and what comes back (seeds-contract.md 5.4).

The bodies hold the fields of the source page and of the source system both.
"""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.core.plain import plain_line
from atoll_supervisor.core.services.record import Record

Endpoint = Literal["chat", "completions"]
NO_TEMPLATE = "chat template"
"""What servers say of a model that has none, in the source system's way to know it."""
WAIT = "The service may still be starting up. Please wait and try again."
OVER = "The service is over. Start it again, or another one."
MOST_SAID = 300
"""Characters of a server's own words that are passed on."""
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a server's answer may raise."""


class Prompt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/vllm/{id}/prompt`; null leaves a field to the model server."""

    prompt: str
    max_tokens: Annotated[int, Meta(ge=1, le=2**31)] | None = 500
    temperature: Annotated[float, Meta(ge=0)] | None = 0.7
    model: str | None = None


class Answered(Struct, frozen=True, kw_only=True):
    """The model's words."""

    success: bool = True
    response: str
    model: str
    tokens_used: int
    endpoint_used: Endpoint
    usage: JsonObject
    service_id: str


class NotAnswered(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no answer, with the page's fields and the source system's."""

    success: bool
    error: str
    message: str
    details: str
    technical_details: str
    service_id: str
    status: str
    endpoint: str | None
    fallback: str = ""

    http_status: ClassVar[int] = 503


class NotReady(NotAnswered, frozen=True, kw_only=True):
    """The service cannot be asked now; nothing was done, so that another replica may be asked."""


class Refused(NotAnswered, frozen=True, kw_only=True):
    """The model server will not have this request."""

    http_status: ClassVar[int] = 400


class WentWrong(NotAnswered, frozen=True, kw_only=True):
    """The model server failed, or its answer is none."""

    http_status: ClassVar[int] = 502


Failure = type[Refused] | type[WentWrong]


class _Message(Struct, frozen=True):
    content: str | None = None


class _Choice(Struct, frozen=True):
    message: _Message = _Message()
    text: str | None = None


class _Completion(Struct, frozen=True):
    choices: list[_Choice] = []
    model: str = ""
    usage: JsonObject | None = None


class _Error(Struct, frozen=True):
    message: str = ""


class _Failed(Struct, frozen=True):
    error: _Error | str = ""
    message: str = ""
    detail: object = None


def body_of(prompt: Prompt, model: str, endpoint: Endpoint) -> JsonObject:
    """The request to the model server."""
    wishes = {"max_tokens": prompt.max_tokens, "temperature": prompt.temperature}
    common: JsonObject = {"model": model}
    common |= {name: wish for name, wish in wishes.items() if wish is not None}
    if endpoint == "completions":
        return {**common, "prompt": prompt.prompt}
    return {**common, "messages": [{"role": "user", "content": prompt.prompt}]}


def path_of(endpoint: Endpoint) -> str:
    """Where that goes."""
    return "/v1/chat/completions" if endpoint == "chat" else "/v1/completions"


def answer_of(record: Record, body: bytes, endpoint: Endpoint) -> Answered:
    """The model server's answer as ours; raises msgspec.MsgspecError for one that is none."""
    found = msgspec.json.decode(body, type=_Completion)
    if not found.choices:
        raise msgspec.ValidationError("the answer holds no choices")
    choice, usage = found.choices[0], found.usage or {}
    text = choice.message.content if choice.message.content is not None else choice.text
    total = usage.get("total_tokens")
    return Answered(
        response=text or "",
        model=found.model,
        tokens_used=total if isinstance(total, int) else 0,
        endpoint_used=endpoint,
        usage=usage,
        service_id=record.id,
    )


def complaint_of(body: bytes) -> str:
    """What a server says went wrong, in whatever shape it says it: one line, and not a long one."""
    try:
        found = msgspec.json.decode(body, type=_Failed)
    except UNREADABLE:
        return plain_line(body[:MOST_SAID].decode(errors="replace"))
    error = found.error if isinstance(found.error, str) else found.error.message
    return plain_line((error or found.message or str(found.detail or ""))[:MOST_SAID])


def not_ready(record: Record, details: str = "") -> NotReady:
    """The page's body for a service that cannot be asked now; 503 (DESIGN section 11)."""
    where = f"{record.host}:{record.port}" if record.host else "no address yet"
    why = details or f"{where}: {record.reason or 'it is ' + record.status}"
    return NotReady(
        success=False,
        error="Service not available",
        message=OVER if record.is_final else WAIT,
        details=why,
        technical_details=f"status {record.status}; {why}",
        service_id=record.id,
        status=record.status,
        endpoint=record.url,
    )


def failed(record: Record, said: str, *, kind: Failure, fell_back: bool = False) -> NotAnswered:
    """The server was reached, but there is no completion."""
    message = "The model server refused the prompt."
    if kind is WentWrong:
        message = "The model server failed to answer the prompt."
    if fell_back:
        message = "The model may not support chat templates. Try using a different prompt format."
    return kind(
        success=False,
        error="Chat completion failed",
        message=message,
        details=said,
        technical_details=said,
        service_id=record.id,
        status=record.status,
        endpoint=record.url,
        fallback="Automatically retried with completions endpoint" if fell_back else "",
    )


def no_models(record: Record, said: str) -> WentWrong:
    """The server was reached, but it does not tell its models."""
    return WentWrong(
        success=False,
        error="Models not available",
        message="The model server did not tell its models.",
        details=said,
        technical_details=said,
        service_id=record.id,
        status=record.status,
        endpoint=record.url,
    )
