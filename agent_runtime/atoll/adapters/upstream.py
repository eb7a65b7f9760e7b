"""Talks HTTP to the server of a model; one pool of connections per agent.

The rest of the adapters sees this small face only. What carries the requests
is chosen by the peer: our own client where it can, httpx elsewhere.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from atoll.adapters.http1 import Headers
from atoll.adapters.lines import MAX_LINE, LineSplitter
from atoll.adapters.over_http1 import OverHttp1, goes_over_http1
from atoll.adapters.over_httpx import OverHttpx
from atoll.adapters.peer import Peer, Transport, UpstreamStatus
from atoll.errors import Busy, ClientError, UpstreamError, UpstreamGarbage, UpstreamTimeout

FETCH_TIMEOUT = 10.0
DRAIN = 0.2
"""Seconds for the last bytes of an answer that is already complete."""


class UpstreamRejected(ClientError, UpstreamStatus):
    """It says that the request is wrong: the client's part of it, for ours is always the same."""


class UpstreamBusy(Busy, UpstreamStatus):
    """It has no room now, or its rate limit is used up."""


class Upstream:
    """A pool of connections to one Peer; made cheaply, connects on first use."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._transport: Transport | None = None

    async def fetch(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        within: float = FETCH_TIMEOUT,
        most: int = MAX_LINE,
    ) -> bytes:
        """One whole answer of at most `most` bytes, 8 MiB, complete `within` seconds.

        Raises UpstreamError.
        """
        try:
            async with asyncio.timeout(within):
                return await self._whole(method, path, body, most)
        except TimeoutError:
            raise UpstreamTimeout(f"{self.peer.where} did not answer within {within:g} s") from None

    async def work(self, path: str, body: bytes, most: int) -> bytes:
        """The whole answer to work that the server may take its time for; raises as `lines`."""
        try:
            return await self.fetch("POST", path, body, self.peer.timeout, most)
        except UpstreamStatus as error:
            raise _blamed(self.peer, error) from None

    async def _whole(self, method: str, path: str, body: bytes | None, most: int) -> bytes:
        whole = bytearray()
        async with aclosing(self._pieces(method, path, body)) as pieces:
            async for data in pieces:
                whole += data
                if len(whole) > most:
                    raise UpstreamGarbage(f"{self.peer.where} answered more than {most} bytes")
        return bytes(whole)

    async def lines(
        self, path: str, body: bytes, headers: Headers = ()
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a streamed answer, without their LF; raises UpstreamError.

        Closing the generator closes the connection, by which the server knows
        that nobody wants the rest.
        """
        splitter = LineSplitter()
        try:
            async with aclosing(self._pieces("POST", path, body, headers)) as pieces:
                async for data in pieces:
                    for line in splitter.feed(data):
                        yield line
        except UpstreamStatus as error:
            raise _blamed(self.peer, error) from None
        if rest := splitter.rest():
            yield rest

    async def close(self) -> None:
        """Close every connection."""
        transport, self._transport = self._transport, None
        if transport:
            await transport.close()

    def _pieces(
        self, method: str, path: str, body: bytes | None, headers: Headers = ()
    ) -> AsyncGenerator[bytes, None]:
        if self._transport is None:
            self._transport = transport_to(self.peer)
        return self._transport.pieces(method, path, body, headers)


def transport_to(peer: Peer) -> Transport:
    """What carries requests to this peer best."""
    return OverHttp1(peer) if goes_over_http1(peer) else OverHttpx(peer)


async def drain(lines: AsyncGenerator[bytes, None]) -> None:
    """Read the end of a complete answer, so that its connection can be used again."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(DRAIN):
            async for _ in lines:
                pass


def _blamed(peer: Peer, error: UpstreamStatus) -> UpstreamStatus:
    """An error status of work for a client, with the side that has to act on it."""
    match error.answered:
        case 400 | 413 | 422:
            return UpstreamRejected(peer, error.answered, error.words)
        case 429 | 503:
            return UpstreamBusy(peer, error.answered, error.words)
        case _:
            return error
