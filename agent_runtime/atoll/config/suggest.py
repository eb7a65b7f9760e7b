"""What a person probably meant, and their own words shown safely."""

import difflib
from collections.abc import Iterable

MAX_SHOWN = 40


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean `temperature`?``, or "" when nothing known is near."""
    if len(word) > MAX_SHOWN:
        return ""
    names = list(known)
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""


def one_of(words: Iterable[str]) -> str:
    """`a`, `b` or `c`."""
    *most, last = (f"`{word}`" for word in words)
    return f"{', '.join(most)} or {last}" if most else last


def shown(text: str) -> str:
    """A person's word inside a sentence: never long, nothing that plays with a terminal."""
    short = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)
