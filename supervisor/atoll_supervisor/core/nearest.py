"""The name that a person probably meant."""

import difflib
from collections.abc import Iterable


def nearest(asked: str, known: Iterable[str]) -> str:
    """The one of `known` closest to `asked` in any case, or "" when none is close."""
    spelled = {name.lower(): name for name in known}
    close = difflib.get_close_matches(asked.lower(), spelled, n=1, cutoff=0.6)
    return spelled[close[0]] if close else ""
