"""Compressed request bodies: zstd on `/v1`, as Ollama takes it there, and nothing else anywhere.

Codex packs its bodies so, hence Ollama unpacks them (ollama-api.md 1.2, ollama#14827); of
gzip it knows nothing (ollama#12386). Where Ollama would try to read the packed bytes as JSON,
a client is told what to send (RFC 9110 section 15.5.16).
"""

import importlib

from litestar.types import HTTPReceiveMessage, Receive, WebSocketReceiveMessage

from atoll.http.faults import UnsupportedType

_NONE = ("", "identity")
_FIX = "send the body as it is, without the header Content-Encoding"


def check_coding(coding: str, path: str) -> None:
    """Raise UnsupportedType for a Content-Encoding that bodies at `path` may not have."""
    if (name := _name(coding)) in _NONE:
        return
    if not path.startswith("/v1/"):
        raise UnsupportedType(f"{path} takes no compressed bodies; {_FIX}")
    if name != "zstd":
        shown = ascii(coding.strip()[:40])
        raise UnsupportedType(f"Content-Encoding {shown} is not taken, only zstd is; {_FIX}")
    try:
        importlib.import_module("atoll.http.zstd")  # only these requests need it
    except ImportError:
        raise UnsupportedType(f"this Python comes without zstd; {_FIX}") from None


def decoded(receive: Receive, coding: str, limit: int) -> Receive:
    """`receive` with the body unpacked, at most `limit` bytes of it.

    The coding has been checked. What is wrong with the body is raised where it is read:
    TooLarge, or ClientError for what is no zstd or not all of it.
    """
    if _name(coding) != "zstd":
        return receive
    from atoll.http.zstd import Unpacker  # noqa: PLC0415  only these requests need it

    unpacker = Unpacker(limit)

    async def unpacking() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        message = await receive()
        if message["type"] == "http.request":
            message["body"] = unpacker.feed(message["body"])
            if not message["more_body"]:
                unpacker.end()
        return message

    return unpacking


def _name(coding: str) -> str:
    return coding.strip().lower()
