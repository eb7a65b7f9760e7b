"""Carries requests over `http1`: three times as fast per token as httpx (performance.md 5)."""

import os
import socket
from collections.abc import AsyncGenerator
from typing import assert_never
from urllib.parse import urlsplit

from atoll.adapters.http1 import IDLE, Answer, Headers, Place, Pool, Unreachable
from atoll.adapters.http1_connection import Broken, Lost, Silent
from atoll.adapters.peer import MOST_REFUSAL, Peer, refusal
from atoll.config.loopback import is_loopback
from atoll.errors import (
    UpstreamError,
    UpstreamGarbage,
    UpstreamLost,
    UpstreamRefused,
    UpstreamTimeout,
)

CONNECT_TIMEOUT = 5.0
_PROXIES = ("http_proxy", "all_proxy")


def goes_over_http1(peer: Peer) -> bool:
    """Whether the peer is spoken to in plain http, without a proxy or a password between."""
    url = urlsplit(peer.url)
    if peer.socket is not None:
        return True
    host = url.hostname or ""
    if url.scheme != "http" or url.username is not None or not (host and host.isascii()):
        return False
    asked = any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES)
    return is_loopback(host) or not asked


class OverHttp1:
    """The Transport of a Peer for which `goes_over_http1`."""

    def __init__(self, peer: Peer) -> None:
        url = urlsplit(peer.url)
        # llama.cpp binds a thread to each open connection: none is kept to the model host.
        idle = IDLE if peer.socket is None else 0.0
        place = Place(url.hostname or "localhost", url.port or 80, peer.socket)
        self._peer = peer
        self._base = url.path.rstrip("/")
        self._pool = Pool(place, min(peer.timeout, CONNECT_TIMEOUT), idle)
        self._headers = _headers(peer)

    async def pieces(
        self, method: str, path: str, body: bytes | None, headers: Headers = ()
    ) -> AsyncGenerator[bytes, None]:
        """The body of the answer as it comes; raises UpstreamError."""
        target, patience = self._base + path, self._peer.timeout
        try:
            asked = self._pool.ask(method, target, (*self._headers, *headers), body, patience)
            async with asked as answer:
                if answer.status >= 300:
                    said = await _said(answer)
                    raise refusal(self._peer, answer.status, said, _location(answer))
                while data := await answer.piece():
                    yield data
        except (Unreachable, Silent, Broken) as error:
            raise _told(self._peer, error) from None

    async def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def _headers(peer: Peer) -> Headers:
    headers = [
        (b"content-type", b"application/json"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"atoll"),
    ]
    if peer.api_key:
        headers.append((b"authorization", b"Bearer " + peer.api_key.encode()))
    return headers


async def _said(answer: Answer) -> bytes:
    """The beginning of an error's body."""
    body = b""
    async for data in answer.pieces():
        body += data
        if len(body) > MOST_REFUSAL:
            break
    return body


def _location(answer: Answer) -> str:
    found = (value for name, value in answer.headers if name == b"location")
    return next(found, b"").decode("latin-1")


def _told(peer: Peer, error: Unreachable | Silent | Broken) -> UpstreamError:
    """What the client raised, in words for people."""
    match error:
        case Unreachable() if isinstance(error.__cause__, TimeoutError):
            return UpstreamTimeout(f"{peer.where} did not take the connection in time")
        case Unreachable():
            cause = _cause(error.__cause__)
            return UpstreamRefused(f"cannot reach {peer.where}: {cause}; {peer.remedy}")
        case Silent():
            return UpstreamTimeout(
                f"{peer.where} said nothing for {peer.timeout:g} s; raise [llm] request_timeout"
                " if the model is only slow"
            )
        case Lost():
            return UpstreamLost(f"the answer of {peer.where} broke off: {error}")
        case Broken():
            return UpstreamGarbage(f"the answer of {peer.where} broke off: {error}")
        case _:
            assert_never(error)


def _cause(error: BaseException | None) -> str:
    match error:
        case ConnectionRefusedError() | FileNotFoundError():
            return "nothing listens there"
        case socket.gaierror():
            return "its host name is not known"
        case _:
            return str(error)
