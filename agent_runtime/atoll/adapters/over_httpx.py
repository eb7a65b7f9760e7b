"""Carries requests over httpx: for TLS, proxies, and addresses with a password."""

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from atoll.adapters.http1 import IDLE, Headers
from atoll.adapters.lean_httpx import httpx
from atoll.adapters.peer import MOST_REFUSAL, Peer, UpstreamStatus, refusal
from atoll.config.loopback import is_loopback
from atoll.errors import UpstreamGarbage, UpstreamLost, UpstreamRefused, UpstreamTimeout

CONNECT_TIMEOUT = 5.0


class OverHttpx:
    """The Transport of any Peer; connects on first use."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._client: httpx.AsyncClient | None = None

    async def pieces(
        self, method: str, path: str, body: bytes | None, headers: Headers = ()
    ) -> AsyncGenerator[bytes, None]:
        """The body of the answer as it comes; raises UpstreamError."""
        client = self._client = self._client or _client(self._peer)
        limits = _timeouts(self._peer.timeout)
        with _told(self._peer):
            async with client.stream(
                method,
                self._peer.url + path,
                content=body,
                timeout=limits,
                headers=list(headers),
            ) as response:
                if response.status_code >= httpx.codes.MULTIPLE_CHOICES:
                    raise await _refusal(self._peer, response)
                async for data in response.aiter_raw():
                    yield data

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client:
            await client.aclose()


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
        if len(body) > MOST_REFUSAL:
            break
    return refusal(peer, response.status_code, body, response.headers.get("location", ""))


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
    except (httpx.ReadError, httpx.RemoteProtocolError) as error:
        raise UpstreamLost(f"the answer of {peer.where} broke off: {error}") from None
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
