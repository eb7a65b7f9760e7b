"""How a contender is asked, and how the tokens of its answer are counted."""

import json
from typing import NamedTuple

from atoll.adapters.http1 import Headers

JSON = (b"content-type", b"application/json")
MESSAGES = [{"role": "user", "content": "Say something."}]


class Dialect(NamedTuple):
    """A streamed chat: so many line ends for each token, and so many besides in an answer."""

    path: str
    headers: Headers
    length_in_options: bool
    ends_of_token: int
    ends_besides: int

    def body(self, tokens: int) -> bytes:
        """A chat that is to get so many tokens."""
        ollama = {"options": {"num_predict": tokens}}
        wanted = ollama if self.length_in_options else {"max_tokens": tokens}
        return json.dumps(
            {"model": "fast", "stream": True, "messages": MESSAGES, **wanted}
        ).encode()

    def tokens(self, line_ends: int) -> int:
        """How many an answer with so many line ends has."""
        return (line_ends - self.ends_besides) // self.ends_of_token


OLLAMA = Dialect("/api/chat", (JSON,), True, 1, 1)
"""The line that ends it has the figures."""


def openai(key: str) -> Dialect:
    """Server-sent events, each followed by an empty line; the last two are the end and [DONE]."""
    allowed = (b"authorization", b"Bearer " + key.encode())
    return Dialect("/v1/chat/completions", (JSON, allowed), False, 2, 4)
