"""`profile.toml`: what a server's model must be asked so that it shows an ability.

Every key has a default that most real models understand, or is empty: then the
rows that need it are not applicable.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct


class Watch(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a server tells how many turns it is working on: a number in a JSON object."""

    path: str
    field: str
    within: Annotated[float, Meta(gt=0, le=60)] = 1.0


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """Prompts, and what can be expected of their answers; all keys are explained in the docs."""

    hello: str = "Say hello."
    system: str = "Answer every question with the single word PINEAPPLE."
    system_says: str = "pineapple"
    json: str = "List three colours as a JSON object."
    person: str = "Invent a person. Answer as JSON with the keys name and age."
    tool: str = "What is the weather in Turku in celsius? Use the tool."
    tool_keys: tuple[str, ...] = ()
    tools: str = "Call the weather tool twice: once for Turku and once for Oslo."
    after_tool: str = "What is the weather in Turku?"
    think: str = "How many r are in strawberry?"
    image: str = "Which colour has this picture?"
    image_says: str = ""
    length: str = "Count from one to one hundred in words."
    slow: str = "Count from 1 to 2000, one number a line, leaving none out."
    split: str = "Repeat exactly: Grüße, 你好, 🎉"
    split_text: str = ""
    fail: str = ""
    big: str = ""
    busy: Annotated[int, Meta(ge=0, le=1024)] = 0
    embedding_model: str = ""
    watch: Watch | None = None


class BadProfile(Exception):
    """The file cannot be used; the message says where and why."""


def load_profile(path: Path) -> Profile:
    """Read a profile; raises BadProfile."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise BadProfile(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise BadProfile(f"{path}: {error}") from None
