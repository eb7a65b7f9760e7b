"""Routes that clients know and this release does not serve: refused in their dialect's own shape.

A 404 would tell a client that it talks to something else than Ollama.
"""

import re

from litestar import Request, Response, delete, get, post
from litestar.datastructures import State

from atoll.errors import ClientError, NotImplementedHere

AnyRequest = Request[object, object, State]

_ABSENT = {
    "/api/experimental/": "what is experimental in Ollama is not offered by this agent",
    "/v1/audio/": "audio is not offered: send the text of it to /v1/chat/completions",
    "/v1/messages/count_tokens": (
        "tokens are not counted before a turn: no back end tells it, and an estimate is no count"
    ),
}
"""Beginnings of paths, and what is said there."""
_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")


class _NoAccount(ClientError):
    """Ollama's answer to whoever is not signed in."""

    code = "unauthorized"
    status = 401


@post(
    [
        "/api/experimental/{name:path}",
        "/v1/audio/transcriptions",
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


@get("/api/blobs/{digest:str}")
async def blob(request: AnyRequest) -> Response[bytes]:
    """No blob is ever here; clients ask with HEAD."""
    _check_digest(request)
    return Response(b"", status_code=404)


@post("/api/blobs/{digest:str}")
async def upload(request: AnyRequest) -> None:
    """Not taken, and not read."""
    _check_digest(request)
    raise NotImplementedHere("blobs are not offered: an agent is a folder, not an upload")


@post(["/api/me", "/api/signout"])
async def account() -> None:
    """There is no account and no cloud behind this server."""
    raise _NoAccount("unauthorized: this server has no accounts")


@delete("/api/user/keys/{key:path}")
async def forget_key() -> None:
    """Nor any key of one."""
    raise _NoAccount("unauthorized: this server has no accounts")


def _check_digest(request: AnyRequest) -> None:
    if not _DIGEST.fullmatch(str(request.path_params["digest"])):
        raise ClientError("invalid digest format")


ABSENT = (absent, absent_to_read, blob, upload, account, forget_key)
