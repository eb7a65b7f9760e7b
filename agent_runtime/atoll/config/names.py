"""Names of agents: what people write, and the slug that is the key everywhere.

DESIGN section 11: a slug matches `^[a-z0-9][a-z0-9_-]{0,62}$`; display names
keep their case. An agent answers to every spelling that slugs to its key, with
or without Ollama's `:latest`.
"""

import re
import unicodedata

MAX_NAME = 64
NOBODY = "none"
"""What a model says that hands off to nobody; so no agent of this name can be chosen."""
_FORBIDDEN = frozenset("/\\")
_RUNS = re.compile(r"[^a-z0-9_-]+")


def name_fault(name: str) -> str:
    """Say why `name` cannot be a display name, or "" when it can."""
    if len(name) > MAX_NAME:
        return f"is {len(name)} characters long, at most {MAX_NAME} are allowed"
    if any(char in _FORBIDDEN or unicodedata.category(char) == "Cc" for char in name):
        return "must not hold path separators or control characters"
    if not slug_of(name):
        return "needs at least one letter or digit of a-z, 0-9"
    return ""


def slug_of(name: str) -> str:
    """The key made from a display name: lower case, runs of other characters become `-`."""
    return _RUNS.sub("-", name.lower()).strip("-_")[:63].rstrip("-_")


def without_tag(model: str) -> str:
    """A model's name without Ollama's default tag: `x:latest` and `x` are the same."""
    return model.removesuffix(":latest")


def same_model(asked: str, name: str) -> bool:
    """Whether a client that asks for `asked` means the model called `name`."""
    return without_tag(asked.lower()) == without_tag(name.lower())
