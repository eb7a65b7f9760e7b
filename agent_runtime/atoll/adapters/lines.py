"""Bytes that arrive in any pieces, cut into lines; the base of NDJSON and SSE."""

from atoll.errors import UpstreamGarbage

MAX_LINE = 8 * 1024 * 1024
"""Bytes of one line; what Ollama's own client reads at most (ollama-api.md 1.4 rule 7)."""


class LineSplitter:
    r"""Cuts at LF only: a line may hold CR, U+2028 or half a character at a piece's end.

    `str.splitlines`, which httpx' `aiter_lines` follows, would cut JSON strings
    at those.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes; raises UpstreamGarbage for one over the limit."""
        head, *rest = data.split(b"\n")
        self._size += len(head)
        if self._size > self._limit or any(len(line) > self._limit for line in rest):
            raise UpstreamGarbage(f"a line of the answer is longer than {self._limit} bytes")
        self._parts.append(head)
        if not rest:
            return []
        first = b"".join(self._parts)
        self._parts, self._size = [rest[-1]], len(rest[-1])
        return [first, *rest[:-1]]

    def rest(self) -> bytes:
        """What came after the last LF."""
        return b"".join(self._parts)
