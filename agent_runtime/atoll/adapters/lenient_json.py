"""JSON from servers that are not ours: broken UTF-8 is mended, everything else is told."""

import json
from typing import TypeVar

import msgspec

from atoll.errors import UpstreamGarbage
from atoll.wire.halves import whole
from atoll.wire.json import JsonObject, JsonValue

SHOWN = 80
"""Characters of an unreadable line that the error shows."""

MOST_ARGUMENTS = 1024 * 1024
"""Characters of one call's arguments: more would not fit into a line that clients read."""

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What decoding may raise; bytes that are not UTF-8 are a ValueError of msgspec."""

Shape = TypeVar("Shape")


def decoded(decoder: msgspec.json.Decoder[Shape], raw: bytes, where: str) -> Shape:
    """Decode one JSON text of the server `where`; raises UpstreamGarbage with its beginning.

    Bytes that are not UTF-8 and lone surrogates become U+FFFD: a model that
    stops inside a character sends both.
    """
    try:
        return decoder.decode(raw)
    except UNREADABLE:
        pass
    try:
        return decoder.decode(_mended(raw))
    except UNREADABLE:
        raise UpstreamGarbage(
            f"{where} sent an answer that is not as agreed: {_shown(raw)};"
            " check that [llm] provider and base_url fit together"
        ) from None


def _mended(raw: bytes) -> bytes:
    value: JsonValue = json.loads(raw.decode("utf-8", "replace"))
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def arguments_of(raw: JsonObject | str | None, tool: str) -> JsonObject:
    """A call's arguments, which servers send as an object or as JSON text, in their order."""
    if isinstance(raw, dict):
        return raw
    if len(raw or "") > MOST_ARGUMENTS:
        raise UpstreamGarbage(
            f"the arguments of a call of {tool} are over {MOST_ARGUMENTS} characters"
        )
    try:
        value: JsonValue = msgspec.json.decode(whole((raw or "{}").encode()))
    except UNREADABLE:
        value = None
    if not isinstance(value, dict):
        text = _shown((raw or "").encode())
        raise UpstreamGarbage(f"a call of {tool} with arguments that are no JSON object: {text}")
    return value


def _shown(raw: bytes) -> str:
    text = raw[: 4 * SHOWN].decode("utf-8", "replace")
    return repr(text[:SHOWN] + "…" if len(text) > SHOWN else text)
