"""HEAD over a bare socket: httpx would hide a body that must not be there."""

import asyncio

from atoll_conformance.answer import Answer
from atoll_conformance.server import Server
from atoll_conformance.verdict import Wrong

_MOST = 65536
_PATIENCE = 0.5
"""Seconds in which a body that must not be there would come, or the end."""


async def bare_head(server: Server, path: str) -> Answer:
    """Everything the server sends to a HEAD request until it closes the connection."""
    url = server.url
    port = url.port or (443 if url.scheme == "https" else 80)
    secure = True if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.host, port, ssl=secure)
    try:
        lines = (f"HEAD {path} HTTP/1.1", f"Host: {url.netloc.decode()}", "Connection: close")
        writer.write("\r\n".join((*lines, "", "")).encode())
        await writer.drain()
        return _answer(await reader.readuntil(b"\r\n\r\n") + await _more(reader))
    finally:
        writer.close()


async def _more(reader: asyncio.StreamReader) -> bytes:
    """What follows the head, which should be the end; some servers keep the connection."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await reader.read(_MOST)
    except TimeoutError:
        return b""


def _answer(raw: bytes) -> Answer:
    top, ended, body = raw.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not ended or not first.startswith("HTTP/1.") or not words[1].isdigit():
        raise Wrong("an HTTP/1.1 answer to HEAD", raw)
    pairs = (line.partition(":") for line in rest)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Answer(int(words[1]), headers, body)
