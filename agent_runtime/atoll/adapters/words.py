"""What a server says about its own failure, in one line."""

import msgspec

from atoll.adapters.lenient_json import UNREADABLE
from atoll.wire.json import JsonValue

MAX_WORDS = 500


def words_of(body: bytes, secret: str = "") -> str:
    """The message in an error body of any common shape, at most 500 characters.

    Ollama sends `{"error": text}`, OpenAI `{"error": {"message": text}}`,
    others `detail` or `message`. `secret` is blotted out: some servers repeat
    the key they refuse.
    """
    text = " ".join((_said(body) or body.decode("utf-8", "replace")).split())
    if secret:
        text = text.replace(secret, "***")
    return (text[: MAX_WORDS - 1] + "…") if len(text) > MAX_WORDS else text or "(no words)"


def _said(body: bytes) -> str:
    try:
        value: JsonValue = msgspec.json.decode(body)
    except UNREADABLE:
        return ""
    return spoken(value)


def spoken(value: JsonValue) -> str:
    """The words inside a decoded error, or ""."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return spoken(value[0]) if value else ""
    if not isinstance(value, dict):
        return ""
    found = (spoken(value[key]) for key in ("error", "message", "detail") if key in value)
    return next((text for text in found if text), "")
