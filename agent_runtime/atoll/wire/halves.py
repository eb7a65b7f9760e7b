"""JSON text with half a character in it, which no JSON value may hold."""

import re

_HALF = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])"  # whole ones, others
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def whole(text: bytes) -> bytes:
    """The JSON text with U+FFFD for each half of a surrogate pair, as Go and browsers read it.

    Whoever cuts a text between two UTF-16 units, in the middle of an emoji, sends them:
    clients, and models that stop there.
    """
    if rb"\u" not in text:
        return text
    return _HALF.sub(lambda found: found[1] or rb"\ufffd", text)
