"""The allow list of `[tools]`."""

from collections.abc import Iterable
from fnmatch import fnmatchcase


def is_allowed(name: str, allow: Iterable[str]) -> bool:
    """Whether a tool exists for the model; `*` in a pattern stands for anything: `files.*`."""
    return any(fnmatchcase(name, pattern) for pattern in allow)
