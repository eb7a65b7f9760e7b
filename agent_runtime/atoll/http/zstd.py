"""Takes a zstd body apart as it comes in, within a limit of memory and of work."""

import sys

from atoll.errors import ClientError, TooLarge

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

MOST_FRAMES = 64
"""Frames of one body: clients send one, parallel compressors a few; each costs a decoder."""
_WINDOW = 23
"""8 MiB as a power of two, the most that a body sent over HTTP may ask for (RFC 9659)."""


class Unpacker:
    """One body, which may be several frames in a row (RFC 8878 section 3.1).

    `limit` is the most bytes that may come out, however few went in.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit
        self._frames = 0
        self._frame: ZstdDecompressor | None = None

    def feed(self, data: bytes) -> bytes:
        """What `data` adds to the body; raises TooLarge, and ClientError when it is no zstd."""
        parts: list[bytes] = []
        while data:
            frame = self._frame = self._frame or self._next()
            try:
                # One byte more than may be: that is how a bomb shows before it goes off.
                part = frame.decompress(data, self._left + 1)
            except ZstdError as error:
                raise ClientError(f"the body is no valid zstd: {error}") from None
            self._left -= len(part)
            if self._left < 0:
                raise TooLarge(f"the unpacked body is over the limit of {self._limit} bytes")
            parts.append(part)
            data = frame.unused_data
            if frame.eof:
                self._frame = None
        return b"".join(parts)

    def end(self) -> None:
        """The body is complete; raises ClientError when its last frame is not."""
        if self._frame is not None:
            raise ClientError("the body ends in the middle of a zstd frame")

    def _next(self) -> ZstdDecompressor:
        self._frames += 1
        if self._frames > MOST_FRAMES:
            raise ClientError(f"the body has more than {MOST_FRAMES} zstd frames")
        return ZstdDecompressor(options={DecompressionParameter.window_log_max: _WINDOW})
