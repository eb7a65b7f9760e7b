"""An HTTP answer that was read to its end, and what can be asked of it."""

from typing import TypeVar

import msgspec
from msgspec import Struct

from atoll_conformance.verdict import Wrong, expect, same

Shape = TypeVar("Shape")

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


class ErrorText(Struct, frozen=True):
    """Ollama's error: the text itself, never an object."""

    error: str


class Event(Struct, frozen=True):
    """One server-sent event; `name` is "" where the server gives none."""

    name: str
    data: bytes


class Answer(Struct, frozen=True):
    """Status, headers with lower-case names, and the whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def ok(self) -> "Answer":
        """Itself; raises Wrong unless the status is 200."""
        return self.having(200)

    def having(self, status: int) -> "Answer":
        """Itself; raises Wrong with the body for any other status."""
        expect(self.status == status, f"status {status}", f"{self.status} {self.text}")
        return self

    def utf8(self) -> "Answer":
        """Itself; raises Wrong unless the content type names the encoding, as Ollama's does."""
        kind = self.headers.get("content-type", "")
        named = kind.replace(" ", "").lower().endswith(";charset=utf-8")
        expect(named, "content type with charset=utf-8", kind or "no content type")
        return self

    def typed(self, media: str) -> "Answer":
        """Itself; raises Wrong for another content type."""
        expect(self.media == media, f"content type {media}", self.media or "no content type")
        return self

    @property
    def text(self) -> str:
        """The body for a report, whatever bytes it has."""
        return self.body.decode("utf-8", "replace")

    def json(self, shape: type[Shape]) -> Shape:
        """The body, which is `application/json`, in this shape."""
        self.typed("application/json")
        return decoded(self.body, shape)

    def lines(self, shape: type[Shape]) -> list[Shape]:
        """Every line of a body of NDJSON."""
        self.ok().typed(NDJSON)
        expect(self.body.endswith(b"\n"), "a last line that ends with \\n", self.body[-40:])
        return [decoded(line, shape) for line in self.body.splitlines()]

    def events(self) -> list[Event]:
        """Every event of a body of SSE; comments are left out."""
        self.ok().typed(SSE)
        blocks = self.body.replace(b"\r\n", b"\n").split(b"\n\n")
        found = [_event(block) for block in blocks if block.strip()]
        return [event for event in found if event.data]

    def empty(self, status: int) -> None:
        """Raise Wrong unless it has this status and no body."""
        self.having(status)
        expect(not self.body, "an empty body", self.body)

    def plain(self, status: int, text: str) -> None:
        """Raise Wrong unless it is exactly this text as text/plain."""
        self.having(status).typed("text/plain")
        same(text, self.text)

    def error(self, status: int, text: str | None = None) -> str:
        """The text of Ollama's error with this status; raises Wrong when it is another."""
        error = self.having(status).json(ErrorText).error
        expect(bool(error), "a text in `error`", self.text)
        if text is not None:
            same(text, error)
        return error

    def honest_error(self) -> str:
        """The text of an Ollama error of any status from 400 on."""
        expect(self.status >= 400, "an error status", f"{self.status} {self.text}")
        return self.error(self.status)


def decoded(raw: bytes, shape: type[Shape]) -> Shape:
    """JSON in this shape; raises Wrong that names the key at fault."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Wrong(f"JSON of the right shape: {error}", raw) from None


def _event(block: bytes) -> Event:
    fields = [line.partition(b":") for line in block.split(b"\n")]
    name = next((value.strip() for key, _, value in fields if key == b"event"), b"")
    data = b"\n".join(value.removeprefix(b" ") for key, _, value in fields if key == b"data")
    return Event(name.decode("utf-8", "replace"), data)
