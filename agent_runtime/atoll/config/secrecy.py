"""What a message about a person's file never repeats (DESIGN section 11).

A mistake is shown with its line, and the line may hold a secret: by its key's
name, by standing in a table that is made for secrets, or by what it says.
"""

import re

from atoll.config.positions import Path

_WORDS = ("key", "token", "secret", "passw", "auth", "cookie", "credential", "bearer")
_TABLES = frozenset({"env", "headers"})
_HARMLESS = ("max_tokens", "tokens_per_turn", "tokens_per_session", "author")
"""Keys of the schema that only sound like secrets."""
_IN_URL = re.compile(r"//[^\s/@\"']*+@")


def secret_path(path: Path) -> bool:
    """Whether the value of this key could be a secret."""
    parts = [part for part in path if isinstance(part, str)]
    return any(part.lower() in _TABLES or _sounds_secret(part) for part in parts)


def secret_text(text: str) -> bool:
    """Whether a piece of a file names a secret, or holds a URL with a password."""
    return _sounds_secret(text) or _IN_URL.search(text) is not None


def _sounds_secret(text: str) -> bool:
    lowered = text.lower()
    for word in _HARMLESS:
        lowered = lowered.replace(word, "")
    return any(word in lowered for word in _WORDS)
