"""What a message about a person's file never repeats (DESIGN section 11).

A mistake is shown with its line, and the line may hold a secret: by its key's
name, by standing in a table or list that may hold one, or by what it says.
"""

import re

from atoll.config.positions import Path

_WORDS = ("key", "token", "secret", "passw", "auth", "cookie", "credential", "bearer")
_WHOLE = frozenset({"env", "headers", "args", "command"})
"""Keys of which every part could be a secret: `args = ["-p", "hunter2"]`."""
_HARMLESS = ("max_tokens", "tokens_per_turn", "tokens_per_session", "author")
"""Keys of the schema that only sound like secrets."""
_IN_URL = re.compile(r"//[^\s/@\"']*+@")
_ISSUED = re.compile(r"\b(?:(?:sk|pk|glpat|xox[a-z])-|(?:gh[a-z]|hf)_|AKIA|eyJ)[-_A-Za-z0-9]{4}")
"""How well-known services begin the keys they hand out."""
_RUN = re.compile(r"[A-Za-z0-9+_-]{32,}+")


def secret_path(path: Path) -> bool:
    """Whether the value of this key could be a secret."""
    parts = [part for part in path if isinstance(part, str)]
    return any(part.lower() in _WHOLE or _sounds_secret(part) for part in parts)


def secret_text(text: str) -> bool:
    """Whether a piece of a file names a secret, holds a URL with a password, or looks like one."""
    if _sounds_secret(text) or _IN_URL.search(text) or _ISSUED.search(text):
        return True
    return any(_is_mixed(run) for run in _RUN.findall(text))


def _is_mixed(run: str) -> bool:
    """Long, with letters and digits: a hash or a key, no word and no number."""
    return any(char.isdigit() for char in run) and any(char.isalpha() for char in run)


def _sounds_secret(text: str) -> bool:
    lowered = text.lower()
    for word in _HARMLESS:
        lowered = lowered.replace(word, "")
    return any(word in lowered for word in _WORDS)
