"""Servers behind a URL: streamable HTTP of both eras, and HTTP+SSE of 2024-11-05.

The transports are the SDK's. What it leaves open is closed here: the size of a
JSON body, and of one that grows when it is unpacked.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from atoll.adapters.mcp.link import MOST_BYTES, Streams
from atoll.config.manifest import McpServer

CONNECT_TIMEOUT = 10.0
"""Seconds; also for sending, and for a place in the pool."""
SILENCE = 300.0
"""Seconds without a byte on a stream that stays open."""
GOODBYE = 1.0
"""Seconds for the end of a session."""


class TooMuch(httpx2.StreamError):
    """A body over the limit; the SDK answers the one request with it."""


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with TooMuch when it is too long."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MOST_BYTES
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise TooMuch(f"it sent over {MOST_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


@asynccontextmanager
async def streamable(server: McpServer) -> AsyncGenerator[Streams]:
    """Streams over one endpoint; where the server keeps sessions, ours is ended afterwards."""
    async with (
        _client(server.headers) as client,
        streamable_http_client(
            server.url or "", http_client=client, max_sse_event_size=MOST_BYTES
        ) as streams,
    ):
        yield streams


@asynccontextmanager
async def sse(server: McpServer) -> AsyncGenerator[Streams]:
    """Streams over a GET that stays open and POSTs to where its first event says."""

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return _client(headers, timeout, auth)

    connection = sse_client(
        server.url or "",
        headers=server.headers,
        timeout=CONNECT_TIMEOUT,
        sse_read_timeout=SILENCE,
        httpx_client_factory=client,
    )
    async with connection as streams:
        yield streams


def _client(
    headers: dict[str, str] | None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        headers={**(headers or {}), "Accept-Encoding": "identity"},
        timeout=timeout or httpx2.Timeout(CONNECT_TIMEOUT, read=SILENCE),
        auth=auth,
        event_hooks={"request": [_hasten], "response": [_bound]},
    )


async def _hasten(request: httpx2.Request) -> None:
    """A session's end is a courtesy: its answer is not waited for as long as others."""
    if request.method == "DELETE":
        times = dict.fromkeys(("connect", "read", "write", "pool"), GOODBYE)
        request.extensions = {**request.extensions, "timeout": times}


async def _bound(response: httpx2.Response) -> None:
    """Bound what is read as a whole; of an event stream the SDK bounds each event."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("it sent a packed body, which was not asked for")
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)
