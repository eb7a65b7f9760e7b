"""Group F: what HTTP itself must carry."""

from ipaddress import ip_address

import msgspec

from atoll_conformance.answer import Answer
from atoll_conformance.native import user
from atoll_conformance.rows import Row
from atoll_conformance.server import JSON, Server
from atoll_conformance.shapes import ChatChunk, Tags
from atoll_conformance.verdict import Skipped, expect, same

PATH = "/api/chat"
ORIGIN = "http://localhost:3000"
EVIL = "http://evil.example"
HALF_A_DAY = "43200"
EVIL_HOST = {"host": "evil.example"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
HEADERS = (
    *("authorization", "content-type", "user-agent", "accept", "x-requested-with"),
    *("openai-beta", "x-stainless-retry-count"),
)


async def _any_type(server: Server) -> None:
    asked = {"model": server.model, "messages": user(server.profile.hello), "stream": False}
    body = msgspec.json.encode(asked)
    for kind in ("", "application/x-www-form-urlencoded", "application/octet-stream"):
        headers = {"content-type": kind} if kind else {}
        (await server.ask("POST", PATH, body, headers)).ok().json(ChatChunk)


async def _allowed(server: Server) -> None:
    answer = (await server.ask("GET", "/api/tags", headers={"origin": ORIGIN})).ok()
    came = answer.headers.get("access-control-allow-origin", "")
    expect(came in (ORIGIN, "*"), f"Access-Control-Allow-Origin: {ORIGIN}", came or "none")


async def _refused(server: Server) -> None:
    (await server.ask("GET", "/api/tags", headers={"origin": EVIL})).empty(403)


async def _preflight(server: Server) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-stainless-retry-count",
    }
    answer = await server.ask("OPTIONS", PATH, headers=asked)
    answer.empty(204)
    same(HALF_A_DAY, answer.headers.get("access-control-max-age"))
    _lists(answer.headers.get("access-control-allow-methods", ""), METHODS)
    _lists(answer.headers.get("access-control-allow-headers", ""), HEADERS)


def _lists(header: str, wanted: tuple[str, ...]) -> None:
    came = {word.strip().lower() for word in header.split(",")}
    missing = [word for word in wanted if word.lower() not in came]
    expect(not missing, f"{', '.join(missing)} to be allowed", header or "no such header")


async def _host(server: Server) -> None:
    """A page that rebinds its name to 127.0.0.1 can read and send; Ollama minds on loopback."""
    if not _is_loopback(server.url.host):
        raise Skipped(f"{server.url.host} is no loopback address: ask on 127.0.0.1")
    body = {"model": server.model, "messages": user(server.profile.hello)}
    for answer in (
        await server.ask("GET", "/api/tags", headers=EVIL_HOST),
        await server.ask("POST", PATH, body, EVIL_HOST),
    ):
        _says_no_more_than_why(answer.having(403))
    (await server.ask("GET", "/api/tags", headers={"host": "localhost"})).ok().json(Tags)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _says_no_more_than_why(answer: Answer) -> None:
    """Raise Wrong for a refusal with another body than none (Ollama's) or an error's text."""
    if answer.body:
        answer.error(answer.status)


async def _bearer(server: Server) -> None:
    headers = {**JSON, "authorization": "Bearer ollama"}
    (await server.ask("GET", "/api/tags", headers=headers)).ok()


ROWS = (
    Row("F1", "no type, form-urlencoded, octet-stream", "the body is parsed as JSON", _any_type),
    Row("F2", f"Origin {ORIGIN}", "allowed, echoed", _allowed),
    Row("F3", f"Origin {EVIL}", "403, empty body", _refused),
    Row("F4", "OPTIONS preflight", "204, methods, headers, max-age 12 h", _preflight),
    Row("F5", "Host evil.example on loopback", "403, to GET and POST; localhost: 200", _host),
    Row("F6", "Authorization: Bearer anything", "accepted on loopback", _bearer),
)
