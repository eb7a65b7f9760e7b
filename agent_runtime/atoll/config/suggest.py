"""The key a person probably meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(key: str, known: Iterable[str]) -> str:
    """`did you mean 'temperature'?`, or "" when nothing known is near."""
    near = difflib.get_close_matches(key.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
