"""What is answered at `/docs`, `/redoc` and `/scalar`, and at the paths of the programs' files.

The same at an agent's port and at the daemon's.
"""

import asyncio

from litestar import Response

from atoll.errors import NotFound
from atoll.http.reference.page import HEADERS, page_of
from atoll.http.reference.programs import PROGRAMS, File, Page, file_at, is_installed
from atoll.http.reference.viewers import headers_of, view_of
from atoll.wire.json import JsonObject

_FOR_EVER = "public, max-age=31536000, immutable"
"""A file of another version has another path."""


def reference(path: Page, document: JsonObject, base: str) -> Response[str]:
    """The page of a document that is served at `base`: the program's, or ours without it."""
    program, info = PROGRAMS[path], document["info"]
    if is_installed(program) and isinstance(info, dict):
        page, headers = view_of(program, str(info["title"])), headers_of(program)
    else:
        note = f"{program.name} is not installed: `atoll docs install` installs it."
        page, headers = page_of(document, base, note), HEADERS
    return Response(page, headers=dict(headers), media_type="text/html")


async def asset(path: str, known: str | None) -> Response[bytes]:
    """A file of a program; raises NotFound for any other path. `known` is the If-None-Match."""
    found = file_at(path)
    if found is None:
        raise NotFound("there is no such file; /docs names those that there are")
    tag = f'"{path.rpartition("/")[0].rpartition("/")[2]}"'
    headers = {"etag": tag, "cache-control": _FOR_EVER, "x-content-type-options": "nosniff"}
    if known is not None and tag in known:
        return Response(b"", status_code=304, headers=headers, media_type=found.asset.media)
    body = await asyncio.to_thread(_content, found)
    return Response(body, headers=headers, media_type=found.asset.media)


def _content(file: File) -> bytes:
    body = file.path.read_bytes()
    for theirs, ours in file.asset.instead.items():
        body = body.replace(theirs, ours)
    return body
