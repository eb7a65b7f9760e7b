"""Whom a model's requests go to, what carries them there, and how it refuses them."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from atoll.adapters.http1 import Headers
from atoll.adapters.words import words_of
from atoll.errors import UpstreamError

MOST_REFUSAL = 64 * 1024
"""Bytes of an error's body that are read."""


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


class Transport(Protocol):
    """Carries requests to one Peer over a pool of connections; made cheaply."""

    def pieces(
        self, method: str, path: str, body: bytes | None, headers: Headers = ()
    ) -> AsyncGenerator[bytes, None]:
        """The body of the answer as it comes; raises UpstreamError.

        `headers` are this request's own. Closing the generator closes the connection,
        by which the server knows that nobody wants the rest.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


def refusal(peer: Peer, status: int, body: bytes, location: str) -> UpstreamStatus:
    """An answer that is none, in words; `location` is where a redirect points to."""
    words = words_of(body, peer.api_key)
    if 300 <= status < 400:
        words = f"it redirects to {location or '?'}; set base_url to that"
    return UpstreamStatus(peer, status, words)
