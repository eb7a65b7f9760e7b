"""Ids of tool calls where a model's server gives none."""

import secrets
import string

ALPHABET = string.ascii_lowercase + string.digits


def new_call_id() -> str:
    """`call_` and 8 of [a-z0-9], as Ollama makes them (ollama-api.md 1.2)."""
    return "call_" + "".join(secrets.choice(ALPHABET) for _ in range(8))
