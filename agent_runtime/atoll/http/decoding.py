"""Reads a JSON body, whatever nonsense it holds."""

from typing import TypeVar

import msgspec

from atoll.errors import ClientError
from atoll.wire.halves import whole

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The request in `body`, whatever its Content-Type says; raises ClientError."""
    if not body:
        raise ClientError("missing request body")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ClientError(str(error)) from None
    except msgspec.DecodeError as error:
        return _decode_mended(decoder, body, str(error))
    except RecursionError:
        raise ClientError("the JSON of the request is nested too deeply") from None
    except UnicodeDecodeError:
        raise ClientError("the request is not valid UTF-8") from None


def _decode_mended(decoder: msgspec.json.Decoder[T], body: bytes, fault: str) -> T:
    """The same with U+FFFD for half an emoji."""
    mended = whole(body)
    if mended == body:
        raise ClientError(fault)
    return decode(decoder, mended)
