"""Reads a JSON body, whatever nonsense it holds."""

import re
from typing import TypeVar

import msgspec

from atoll.errors import ClientError

T = TypeVar("T")

_HALF = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])"  # whole ones, others
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


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
    """The same with U+FFFD for each half of a surrogate pair, as Go and browsers read it.

    Clients that cut a text between two UTF-16 units, in the middle of an emoji, send them.
    """
    mended = _HALF.sub(lambda found: found[1] or rb"\ufffd", body)
    if mended == body:
        raise ClientError(fault)
    return decode(decoder, mended)
