"""What a request is answered whose handler raised, Litestar's own errors among them."""

import logging
from collections.abc import Mapping

from litestar.exceptions import HTTPException
from msgspec import Struct

from atoll.http.asgi import JSON, TEXT
from atoll.http.faults import dialect_of, error_body, failure_of
from atoll.wire.events import Failure

_log = logging.getLogger("atoll.http")


class Refusal(Struct, frozen=True):
    """An answer in one piece."""

    status: int
    body: bytes
    media_type: bytes = JSON
    headers: Mapping[str, str] = {}


def refusal_of(method: str, path: str, error: Exception) -> Refusal:
    """The answer to `error`, in the dialect of the path; one that should not be is logged."""
    headers = (error.headers or {}) if isinstance(error, HTTPException) else {}
    failure = _rejected(path, error) if isinstance(error, HTTPException) else failure_of(error)
    if isinstance(failure, Refusal):
        return failure
    if failure.code == "internal":
        _log.error("%s %s failed", method, path, exc_info=error)
    return Refusal(failure.status, error_body(dialect_of(path), failure), headers=headers)


def _rejected(path: str, error: HTTPException) -> Refusal | Failure:
    """Unknown path or wrong method, and hardly anything else."""
    status, dialect, headers = error.status_code, dialect_of(path), error.headers or {}
    # A path that is nobody's is answered as Ollama does: its clients probe with such (row A19).
    if status == 404 and dialect in ("ollama", "atoll"):
        return Refusal(404, b"404 page not found", TEXT, headers)
    if status == 405 and dialect == "ollama":
        return Refusal(405, b"405 method not allowed", TEXT, headers)
    if status == 404:
        return Failure("not_found", f"nothing is served at {path!r}", "client", 404)
    if status < 500:
        return Failure("bad_request", error.detail, "client", status)
    return failure_of(error)
