"""Text of strangers made fit for a terminal: log lines, names, model output.

Whoever can write a log line must not be able to move the cursor, set the
clipboard (OSC 52), plant a link (OSC 8) or turn the reading direction of the
operator's screen. Whole escape sequences (ECMA-48) are dropped, every other
control character becomes visible, and what is invisible becomes U+FFFD.
"""

import re

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one C1 character
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, isolates
    r"\u2028\u2029\ufeff\ud800-\udfff]"
)
_PICTURES = 0x2400
"""Where Unicode's pictures of the C0 control characters begin."""


def plain_text(text: str) -> str:
    """`text` without escape sequences and control characters; tabs and line ends stay."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(_visible, _SEQUENCES.sub("", text))


def plain_line(text: str) -> str:
    """`text` as `plain_text`, and on one line whatever it holds."""
    return plain_text(text).replace("\n", "\u240a")


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == 0x7F else "\ufffd"
