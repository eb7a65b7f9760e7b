"""Talks HTTP to the server of a model; one pooled client per agent.

The rest of the adapters sees this small face only, so that the hot path may
get a faster client than httpx one day (performance.md section 5).
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from atoll.adapters.lean_httpx import httpx
from atoll.adapters.lines import MAX_LINE, LineSplitter
from atoll.adapters.words import words_of
from atoll.config.loopback import is_loopback
from atoll.errors import (
    Busy,
    ClientError,
    UpstreamError,
    UpstreamGarbage,
    UpstreamRefused,
    UpstreamTimeout,
)

CONNECT_TIMEOUT = 5.0
FETCH_TIMEOUT = 10.0
IDLE = 3.0
"""Seconds a pooled connection is kept: less than the 5 s of llama.cpp and uvicorn, which
would otherwise close it in the very moment it is used again."""
DRAIN = 0.2
"""Seconds for the last bytes of an answer that is already complete."""


class Peer(Struct, frozen=True, kw_only=True):
    """The server of a model.

    `name` is what people call it, `remedy` what to do when nobody listens at
    `url`. With `socket` that unix socket is used and the host in `url` is only
    a name. `timeout` is in seconds and counts between two pieces of an answer.
    """

    name: str
    url: str
    remedy: str
    socket: Path | None = None
    timeout: float = 300.0
    api_key: str = ""

    @property
    def where(self) -> str:
        """`Ollama at http://127.0.0.1:11434`."""
        return f"{self.name} at {self.socket or self.url}"


class UpstreamStatus(UpstreamError):
    """The server answered with an error status; `words` are its own, `answered` the status."""

    def __init__(self, peer: Peer, answered: int, words: str) -> None:
        super().__init__(f"{peer.where} answered {answered}: {words}")
        self.answered = answered
        self.words = words


class UpstreamRejected(ClientError, UpstreamStatus):
    """It says that the request is wrong: the client's part of it, for ours is always the same."""


class UpstreamBusy(Busy, UpstreamStatus):
    """It has no room now, or its rate limit is used up."""


class Upstream:
    """A pool of connections to one Peer; made cheaply, connects on first use."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._client: httpx.AsyncClient | None = None

    async def fetch(
        self, method: str, path: str, body: bytes | None = None, within: float = FETCH_TIMEOUT
    ) -> bytes:
        """One whole answer of at most 8 MiB, complete `within` seconds; raises UpstreamError."""
        try:
            async with asyncio.timeout(within):
                return await self._whole(method, path, body)
        except TimeoutError:
            raise UpstreamTimeout(f"{self.peer.where} did not answer within {within:g} s") from None

    async def _whole(self, method: str, path: str, body: bytes | None) -> bytes:
        whole = bytearray()
        async with aclosing(self._pieces(method, path, body)) as pieces:
            async for data in pieces:
                whole += data
                if len(whole) > MAX_LINE:
                    raise UpstreamGarbage(f"{self.peer.where} answered more than {MAX_LINE} bytes")
        return bytes(whole)

    async def lines(self, path: str, body: bytes) -> AsyncGenerator[bytes, None]:
        """The lines of a streamed answer, without their LF; raises UpstreamError.

        Closing the generator closes the connection, by which the server knows
        that nobody wants the rest.
        """
        splitter = LineSplitter()
        try:
            async with aclosing(self._pieces("POST", path, body)) as pieces:
                async for data in pieces:
                    for line in splitter.feed(data):
                        yield line
        except UpstreamStatus as error:
            raise _blamed(self.peer, error) from None
        if rest := splitter.rest():
            yield rest

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def _pieces(
        self, method: str, path: str, body: bytes | None
    ) -> AsyncGenerator[bytes, None]:
        client = self._client = self._client or _client(self.peer)
        limits = _timeouts(self.peer.timeout)
        with _told(self.peer):
            async with client.stream(
                method, self.peer.url + path, content=body, timeout=limits
            ) as response:
                if response.status_code >= httpx.codes.MULTIPLE_CHOICES:
                    raise await _refusal(self.peer, response)
                async for data in response.aiter_raw():
                    yield data


async def drain(lines: AsyncGenerator[bytes, None]) -> None:
    """Read the end of a complete answer, so that its connection can be used again."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(DRAIN):
            async for _ in lines:
                pass


def _client(peer: Peer) -> httpx.AsyncClient:
    # On this machine no proxy of the environment is asked.
    near = peer.socket is not None or is_loopback(urlsplit(peer.url).hostname or "")
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if peer.api_key:
        headers["Authorization"] = f"Bearer {peer.api_key}"
    limits = httpx.Limits(max_connections=None, keepalive_expiry=IDLE)
    # llama.cpp binds a thread to each open connection: none is kept to the model host.
    alone = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    transport = None
    if peer.socket:
        transport = httpx.AsyncHTTPTransport(uds=str(peer.socket), limits=alone, verify=False)
    # Loading the CA bundle costs 20 ms and is of no use to plain http on this machine.
    verify = peer.url.startswith("https") or not near
    return httpx.AsyncClient(
        transport=transport, limits=limits, headers=headers, trust_env=not near, verify=verify
    )


def _timeouts(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT), pool=None)


async def _refusal(peer: Peer, response: httpx.Response) -> UpstreamStatus:
    body = b""
    async for data in response.aiter_raw():
        body += data
        if len(body) > 64 * 1024:
            break
    words = words_of(body, peer.api_key)
    if response.is_redirect:
        words = f"it redirects to {response.headers.get('location', '?')}; set base_url to that"
    return UpstreamStatus(peer, response.status_code, words)


def _blamed(peer: Peer, error: UpstreamStatus) -> UpstreamStatus:
    """A generation's error status, with the side that has to act on it."""
    match error.answered:
        case 400 | 413 | 422:
            return UpstreamRejected(peer, error.answered, error.words)
        case 429 | 503:
            return UpstreamBusy(peer, error.answered, error.words)
        case _:
            return error


@contextmanager
def _told(peer: Peer) -> Generator[None]:
    """Turn what httpx raises into words for people."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise UpstreamTimeout(f"{peer.where} did not take the connection in time") from None
    except httpx.TimeoutException:
        raise UpstreamTimeout(
            f"{peer.where} said nothing for {peer.timeout:g} s; raise [llm] request_timeout"
            " if the model is only slow"
        ) from None
    except httpx.ConnectError as error:
        text = f"cannot reach {peer.where}: {_cause(error)}; {peer.remedy}"
        raise UpstreamRefused(text) from None
    except httpx.InvalidURL as error:
        raise UpstreamRefused(f"{peer.where} is no address: {error}; {peer.remedy}") from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        text = str(error) or type(error).__name__
        raise UpstreamGarbage(f"the answer of {peer.where} broke off: {text}") from None


def _cause(error: BaseException) -> str:
    """Why a connection failed; the reason is at the bottom of a chain of wrappers."""
    deepest: BaseException = error
    while below := deepest.__cause__ or deepest.__context__:
        deepest = below
    match deepest:
        case ConnectionRefusedError() | FileNotFoundError():
            return "nothing listens there"
        case socket.gaierror():
            return "its host name is not known"
        case _:
            return str(deepest) or str(error)
