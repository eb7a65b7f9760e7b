"""Routes that clients know and this release does not serve: refused in their dialect's own shape.

A 404 would tell a client that it talks to something else than Ollama.
"""

from litestar import Request, Response, get, post
from litestar.datastructures import State

from atoll.errors import ClientError, NotImplementedHere

AnyRequest = Request[object, object, State]

_ABSENT = {
    "/api/experimental/": "what is experimental in Ollama is not offered by this agent",
    "/api/blobs/": "blobs are not offered: an agent is a folder, not an upload",
    "/v1/embeddings": "embeddings are not offered by this agent",
    "/v1/messages/count_tokens": (
        "tokens are not counted before a turn: no back end tells it, and an estimate is no count"
    ),
}
"""Beginnings of paths, and what is said there."""


class _NoAccount(ClientError):
    """Ollama's answer to whoever is not signed in."""

    code = "unauthorized"
    status = 401


@post(
    [
        "/api/experimental/{name:path}",
        "/api/blobs/{digest:path}",
        "/v1/embeddings",
        "/v1/messages/count_tokens",
    ]
)
async def absent(request: AnyRequest) -> None:
    """Known, and not offered."""
    path = request.url.path
    raise NotImplementedHere(next(said for at, said in _ABSENT.items() if path.startswith(at)))


@get("/api/experimental/{name:path}")
async def absent_to_read() -> None:
    """The same for what is only read."""
    raise NotImplementedHere(_ABSENT["/api/experimental/"])


@get("/api/blobs/{digest:path}")
async def blob() -> Response[bytes]:
    """No blob is ever here; clients ask with HEAD."""
    return Response(b"", status_code=404)


@post(["/api/me", "/api/signout"])
async def account() -> None:
    """There is no account and no cloud behind this server."""
    raise _NoAccount("unauthorized: this server has no accounts")


ABSENT = (absent, absent_to_read, blob, account)
