"""Errors as the management API answers them: `{"detail", "code", "who"}`.

One body everywhere that says what is wrong and who has to mend it (DESIGN
section 7). Paths of Ollama and OpenAI never come here: they are the gateway's.
"""

import logging
from collections.abc import Mapping

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.routes import BaseRoute, HTTPRoute
from msgspec import Struct

from atoll.config.names import MAX_NAME
from atoll.config.suggest import did_you_mean
from atoll.errors import AtollError, ConfigError, NotFound
from atoll_supervisor.core.answers import ErrorBody
from atoll_supervisor.ports import Fleet

_log = logging.getLogger("atoll.api")

AnyRequest = Request[object, object, State]

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
_HEADERS: Mapping[int, Mapping[str, str]] = {401: {"WWW-Authenticate": "Bearer"}}


_MEANINGS = {
    400: "The request is wrong",
    401: "The management token is missing or wrong",
    404: "No agent of this name",
    415: "A body that is not application/json",
}


def described(*statuses: int) -> dict[int, ResponseSpec]:
    """The error answers of a route, for its OpenAPI entry."""
    return {status: ResponseSpec(ErrorBody, description=_MEANINGS[status]) for status in statuses}


def no_such_agent(fleet: Fleet, name: str) -> NotFound:
    """The error for a name that no agent has, with the nearest one that exists."""
    slugs = [row.slug for row in fleet.rows()]
    asked = repr(name[:MAX_NAME])
    listed = f"the fleet has {', '.join(slugs[:10]) or 'no agents yet'}"
    return NotFound(f"there is no agent {asked}; {did_you_mean(name[:MAX_NAME], slugs) or listed}")


def refused(_request: AnyRequest, error: AtollError) -> Response[ErrorBody]:
    """An error of our own tree.

    What an agent's files get wrong stands in its row: a file that a route complains of is
    the daemon's own, a recipe or a setting.
    """
    who = "atoll" if isinstance(error, ConfigError) else error.who
    return _answer(error.status, ErrorBody(str(error), error.code, who))


def rejected(request: AnyRequest, error: HTTPException) -> Response[ErrorBody] | Response[bytes]:
    """An error of Litestar's: unknown path, wrong method, bad parameter.

    A path that nobody serves is answered as Ollama does: its clients look for one
    another's routes on this port, too (row A19 of ollama-api.md).
    """
    status = error.status_code
    if status >= 500:
        return crashed(request, error)
    if status == 404 and not request.url.path.startswith("/api/v1/"):
        return Response(b"404 page not found", status_code=404, media_type="text/plain")
    body = ErrorBody(_sentence(request, error), _CODES.get(status, "bad_request"), "client")
    return _answer(status, body, _allowed(request) if status == 405 else {})


def too_deep(_request: AnyRequest, _error: RecursionError) -> Response[ErrorBody]:
    """A body nested beyond what can be decoded, which only a hostile client sends."""
    return _answer(400, ErrorBody("the body is nested too deeply", "bad_request", "client"))


def crashed(request: AnyRequest, error: Exception) -> Response[ErrorBody]:
    """A fault of ours; the traceback goes to the daemon's log and never to the client."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    body = ErrorBody("the daemon failed; its log has the reason", "internal", "atoll")
    return _answer(500, body)


def _answer(
    status: int, body: ErrorBody, headers: Mapping[str, str] | None = None
) -> Response[ErrorBody]:
    merged = {**_HEADERS.get(status, {}), **(headers or {})}
    return Response(body, status_code=status, headers=merged, media_type="application/json")


def _sentence(request: AnyRequest, error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return f"nothing is served at {request.url.path!r}; /openapi.json lists what is"
        case 405:
            return f"{request.method} is not offered at {request.url.path!r}"
        case _:
            return "; ".join(_faults(error)) or error.detail


class _Fault(Struct):
    """One wrong parameter as Litestar lists it in an error's `extra`."""

    message: str = ""
    key: str = "the request"


def _faults(error: HTTPException) -> list[str]:
    try:
        faults = msgspec.convert(error.extra, list[_Fault])
    except msgspec.ValidationError:
        return []
    return [_told(fault) for fault in faults]


def _told(fault: _Fault) -> str:
    """`data` is Litestar's word for the body, and quoted alone its word for one that is missing."""
    if fault.key != "data":
        return f"{fault.key}: {fault.message}"
    return "the body is missing" if fault.message == repr("data") else f"the body: {fault.message}"


def _allowed(request: AnyRequest) -> dict[str, str]:
    """The Allow header that RFC 9110 section 15.5.6 wants with a 405."""
    parts = [part for part in request.url.path.split("/") if part]
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, HTTPRoute) and _serves(route, parts):
            methods |= route.methods
    return {"Allow": ", ".join(sorted(methods))}


def _serves(route: BaseRoute, parts: list[str]) -> bool:
    wanted = route.path_components
    return len(wanted) == len(parts) and all(
        not isinstance(want, str) or want == part for want, part in zip(wanted, parts, strict=True)
    )
