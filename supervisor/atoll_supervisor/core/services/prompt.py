"""A prompt to a model server: what is sent, and what comes back (seeds-contract.md 5.4).

The bodies hold the fields of the source page and of the source system both.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.core.services.record import Record

Endpoint = Literal["chat", "completions"]
NO_TEMPLATE = "chat template"
"""What servers say of a model that has none, in the source system's way to know it."""


class Prompt(Struct, frozen=True, kw_only=True):
    """The body of `POST /api/v1/vllm/{id}/prompt`."""

    prompt: str
    max_tokens: int = 500
    temperature: float = 0.7
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
    """Why there are none; `http_status` is not part of the body."""

    success: bool
    error: str
    message: str
    details: str
    technical_details: str
    service_id: str
    status: str
    endpoint: str | None
    http_status: int
    fallback: str = ""


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
    common: JsonObject = {
        "model": model,
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
    }
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
    """What a server says went wrong, in whatever shape it says it."""
    try:
        found = msgspec.json.decode(body, type=_Failed)
    except msgspec.MsgspecError:
        return body[:300].decode(errors="replace")
    error = found.error if isinstance(found.error, str) else found.error.message
    return error or found.message or str(found.detail or "")


def not_ready(record: Record, details: str = "") -> NotAnswered:
    """The page's body for a service that cannot be asked now; 503 (DESIGN section 11)."""
    where = f"{record.host}:{record.port}" if record.host else "no address yet"
    why = details or f"{where}: {record.reason or 'it is ' + record.status}"
    return NotAnswered(
        success=False,
        error="Service not available",
        message="The service may still be starting up. Please wait and try again.",
        details=why,
        technical_details=f"status {record.status}; {why}",
        service_id=record.id,
        status=record.status,
        endpoint=record.url,
        http_status=503,
    )


def went_wrong(record: Record, said: str, *, fell_back: bool) -> NotAnswered:
    """The server answered, but no completion."""
    return NotAnswered(
        success=False,
        error="Chat completion failed",
        message="The model may not support chat templates. Try using a different prompt format."
        if fell_back
        else "The model server refused the prompt.",
        details=said,
        technical_details=said,
        service_id=record.id,
        status=record.status,
        endpoint=record.url,
        http_status=502,
        fallback="Automatically retried with completions endpoint" if fell_back else "",
    )
