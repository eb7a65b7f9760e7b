"""Keeps strangers' web pages, wrong hosts and oversized bodies out, before any route is looked at.

A plain ASGI wrapper for agents and the daemon alike. Rules: DESIGN section 11;
what the stack would let through by itself: attacks.md section 0.
"""

from collections.abc import Iterable
from functools import lru_cache, partial

from litestar.enums import ScopeType
from litestar.types import (
    HTTPReceiveMessage,
    LifeSpanScope,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)
from msgspec import Struct

from atoll.errors import ClientError, NotAllowed, TooLarge
from atoll.http.asgi import AsgiApp, Headers, send_answer
from atoll.http.content_coding import check_coding, decoded
from atoll.http.faults import Dialect, UnsupportedType, dialect_of, error_body, failure_of
from atoll.http.origins import Verdict, host_allowed, host_name, judge_origin

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a request body."""

_STATE_CHANGING = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_WATCHED = frozenset(
    (
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
    )
)
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (
        b"access-control-allow-headers",
        (
            b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,"
            b"x-stainless-arch,x-stainless-async,x-stainless-custom-poll-interval,"
            b"x-stainless-helper-method,x-stainless-lang,x-stainless-os,"
            b"x-stainless-package-version,x-stainless-poll-helper,x-stainless-retry-count,"
            b"x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
        ),
    ),
    (b"access-control-max-age", b"43200"),  # 12 h, Ollama's
)
_TYPE_FIX = "send the body as JSON with the header Content-Type: application/json"


class GuardRules(Struct, frozen=True, kw_only=True):
    """What a Guard lets pass.

    `exempt_content_type` are path prefixes whose bodies are JSON whatever their
    Content-Type says, as long as no browser page sent them. `max_body` in bytes.
    `hosts_setting` and `origins_setting` name, in the words of a refusal, the
    settings that `allowed_hosts` and `allowed_origins` come from.
    """

    bind_host: str
    machine: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    exempt_content_type: tuple[str, ...] = ()
    same_origin_only: bool = False
    hosts_setting: str = "[server] allowed_hosts"
    origins_setting: str = "[server] allowed_origins"
    max_body: int = MAX_BODY


class _BadOrigin(NotAllowed):
    """A page of a stranger; Ollama answers it without a body."""


class Guard:
    """Wraps an ASGI application and answers what the rules refuse by itself."""

    def __init__(self, app: AsgiApp, rules: GuardRules) -> None:
        self._app = app
        self._rules = rules
        # Nearly every request names the same host; judging it is half of what is done here.
        self._judge_host = lru_cache(maxsize=64)(partial(_judge_host, rules))

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """Serve one connection of any ASGI type."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        seen = _read(scope["headers"])
        try:
            if refusal := self._judge_host(seen.get(b"host", "")):
                raise NotAllowed(refusal)
            origin = _check_origin(self._rules, seen)
            if scope["type"] == ScopeType.WEBSOCKET:
                await self._app(scope, receive, send)
                return
            _check_body(self._rules, scope["method"], scope["path"], seen)
        except ClientError as error:
            await _refuse(scope, send, error)
            return
        await self._serve(scope, receive, _with_cors(send, self._cors(seen, origin)), seen)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, seen: dict[bytes, str]
    ) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "OPTIONS":
            await send_answer(send, 204, b"", headers=_PREFLIGHT)
            return
        if b"transfer-encoding" in seen:
            receive = _bounded(receive, self._rules.max_body)
        if b"content-encoding" in seen:
            receive = decoded(receive, seen[b"content-encoding"], self._rules.max_body)
        await self._app(scope, receive, send)

    def _cors(self, seen: dict[bytes, str], verdict: Verdict) -> Headers:
        if verdict != "allowed":
            return ()
        open_to_all = "*" in self._rules.allowed_origins
        value = b"*" if open_to_all else seen[b"origin"].encode("latin-1")
        return ((b"access-control-allow-origin", value), (b"vary", b"Origin"))


def _read(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """The headers that matter, each at most once: a second one makes its value invalid."""
    seen: dict[bytes, str] = {}
    for name, value in headers:
        if name in _WATCHED:
            seen[name] = "\0twice" if name in seen else value.decode("latin-1")
    return seen


def _judge_host(rules: GuardRules, host: str) -> str:
    """Why a request to that host is refused, "" when it is not."""
    name = host_name(host)
    if host_allowed(
        name, bind_host=rules.bind_host, machine=rules.machine, allowed=rules.allowed_hosts
    ):
        return ""
    shown = f"host {name!r}" if name else "a missing or malformed host"
    entry = name or "name.example"
    return f'{shown} is not allowed; add "{entry}" to {rules.hosts_setting}'


def _check_origin(rules: GuardRules, seen: dict[bytes, str]) -> Verdict:
    if b"origin" not in seen:
        return "own"
    verdict = judge_origin(
        seen[b"origin"],
        seen.get(b"host", ""),
        allowed=rules.allowed_origins,
        same_origin_only=rules.same_origin_only,
    )
    if verdict == "refused":
        raise _BadOrigin(_origin_fix(rules))
    return verdict


def _origin_fix(rules: GuardRules) -> str:
    if rules.same_origin_only:
        return "origin not allowed; management accepts its own origin only"
    return f"origin not allowed; add it to {rules.origins_setting}"


def _check_body(rules: GuardRules, method: str, path: str, seen: dict[bytes, str]) -> None:
    length = seen.get(b"content-length", "")
    if length.isdecimal() and int(length) > rules.max_body:
        raise _too_large(rules.max_body)
    if method not in _STATE_CHANGING:
        return
    if b"content-encoding" in seen:
        check_coding(seen[b"content-encoding"], path)
    if b"origin" not in seen and path.startswith(rules.exempt_content_type):
        return
    kind = seen.get(b"content-type", "").partition(";")[0].strip().lower()
    has_body = length not in ("", "0") or b"transfer-encoding" in seen
    # A page can send a typed or untyped "simple" body without asking; a bare POST it cannot
    # send without an Origin, so a body-less request of a client needs no type.
    if kind != "application/json" and (kind or has_body):
        raise UnsupportedType(_TYPE_FIX)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes")


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that counts a body without a declared length; raises TooLarge."""
    left = limit

    async def counted() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message["body"])
            if left < 0:
                raise _too_large(limit)
        return message

    return counted


def _with_cors(send: Send, extra: Headers) -> Send:
    if not extra:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *extra]
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, error: ClientError) -> None:
    if scope["type"] == ScopeType.WEBSOCKET:
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)})
        return
    dialect: Dialect = dialect_of(scope["path"])
    if isinstance(error, _BadOrigin) and dialect != "atoll":
        # Ollama sends no body here; the header tells a developer what to do.
        await send_answer(send, 403, b"", headers=((b"x-atoll-refused", str(error).encode()),))
        return
    await send_answer(send, error.status, error_body(dialect, failure_of(error)))
