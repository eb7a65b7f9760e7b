"""Group F: what HTTP itself must carry."""

import msgspec

from atoll_conformance.native import user
from atoll_conformance.rows import Row
from atoll_conformance.server import JSON, Server
from atoll_conformance.shapes import ChatChunk
from atoll_conformance.verdict import expect, same

PATH = "/api/chat"
ORIGIN = "http://localhost:3000"
EVIL = "http://evil.example"
HALF_A_DAY = "43200"
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
    (await server.ask("GET", "/api/tags", headers={"host": "evil.example"})).having(403)


async def _bearer(server: Server) -> None:
    headers = {**JSON, "authorization": "Bearer ollama"}
    (await server.ask("GET", "/api/tags", headers=headers)).ok()


ROWS = (
    Row("F1", "no type, form-urlencoded, octet-stream", "the body is parsed as JSON", _any_type),
    Row("F2", f"Origin {ORIGIN}", "allowed, echoed", _allowed),
    Row("F3", f"Origin {EVIL}", "403, empty body", _refused),
    Row("F4", "OPTIONS preflight", "204, methods, headers, max-age 12 h", _preflight),
    Row("F5", "Host evil.example on loopback", "403", _host),
    Row("F6", "Authorization: Bearer anything", "accepted on loopback", _bearer),
)
