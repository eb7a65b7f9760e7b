"""What several of OpenAI's routes spell alike: effort, images, arguments, stops. Pure.

Every fault is a ClientError.
"""

import re

import msgspec

from atoll.errors import ClientError
from atoll.wire.json import JsonObject
from atoll.wire.messages import Think

_arguments = msgspec.json.Decoder(JsonObject)
_DATA_URL = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,(?P<data>[A-Za-z0-9+/=]*)")
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}


def think_of(effort: str | None) -> Think:
    """How much thinking an effort asks for."""
    if effort is None:
        return None
    if effort not in _EFFORTS:
        raise ClientError(f"reasoning effort {effort!r} is not one of {', '.join(_EFFORTS)}")
    return _EFFORTS[effort]


def image_of(url: str) -> str:
    """The base64 inside a data URL; nothing is ever fetched."""
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise ClientError(
            "image URLs are not currently supported, please use base64 encoded data instead"
        )
    return found["data"]


def arguments_of(text: str | None) -> JsonObject:
    """The arguments of a tool call, which OpenAI sends as JSON text."""
    try:
        return _arguments.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        raise ClientError("the arguments of a tool call are not a JSON object") from None


def stops_of(stop: str | list[str] | None) -> tuple[str, ...]:
    """One stop sequence, or several."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
