"""One request to the gateway, and the small answers that the gateway gives by itself."""

from typing import NamedTuple

import msgspec
from litestar.types import HTTPScope, Receive, Send

from atoll.http.asgi import TEXT, Headers, header_of, send_answer
from atoll.http.faults import Dialect, dialect_of, error_body
from atoll.wire.events import Failure

_encode = msgspec.json.Encoder().encode


class Exchange(NamedTuple):
    """Both directions of a request, as ASGI has them."""

    scope: HTTPScope
    receive: Receive
    send: Send

    @property
    def path(self) -> str:
        """The path, decoded."""
        return self.scope["path"]

    @property
    def dialect(self) -> Dialect:
        """The dialect that is spoken at the path."""
        return dialect_of(self.path)

    def header(self, name: bytes) -> str:
        """A header of the request, "" without it."""
        return header_of(self.scope, name)

    async def answer(self, value: object) -> None:
        """Answer 200 with the value as JSON."""
        await send_answer(self.send, 200, _encode(value))

    async def answer_json(self, body: bytes) -> None:
        """Answer 200 with a body that is JSON already."""
        await send_answer(self.send, 200, body)

    async def say(self, status: int, text: bytes, headers: Headers = ()) -> None:
        """Answer with plain text, as Ollama does at its root and for paths it does not know."""
        await send_answer(self.send, status, text, media_type=TEXT, headers=headers)

    async def refuse(self, failure: Failure, headers: Headers = ()) -> None:
        """Answer with an error in the path's dialect."""
        body = error_body(self.dialect, failure)
        await send_answer(self.send, failure.status, body, headers=headers)
