"""A turn as NDJSON, one event of `wire/events.py` a line. Pure."""

import msgspec

from atoll.http.answer import Answer
from atoll.wire.events import Event

_encode = msgspec.json.Encoder().encode


class NativeProjection:
    """Writes every event, whoever said it; there is no answer in one piece."""

    media_type = b"application/x-ndjson"

    def line(self, event: Event) -> bytes:
        """The line of one event."""
        return _encode(event) + b"\n"

    def whole(self, answer: Answer) -> bytes:
        """The end of the turn alone."""
        return _encode(answer.end)
