"""`script.toml`: what the `scripted` back end says.

    capabilities = ["completion", "tools"]   # what it claims to be able to do; with "embedding"
                                             # it makes vectors out of the words it is given

    [[turn]]
    match = "weather"                  # the last user message must hold this text,
                                       # or, written /like this/, must match this pattern
    thinking = "I need the tool."
    [[turn.call]]
    name = "weather"
    arguments = { city = "Turku" }

    [[turn]]
    match = "weather"                  # the second call of the model in the same case
    text = "It is sunny."              # one chunk per word; `chunks` gives them one by one

    [[turn]]
    system = "pirate"                  # the system prompt must hold this text,
    images = 1                         # the last user message so many pictures
    text = "Arr, a picture."

    [[turn]]
    chunks = ["Hel", "lo"]
    delay = 0.5                        # seconds before each chunk
    reason = "length"                  # or "stop"

    [[turn]]
    chunks = ["This ", "breaks"]
    after = 1                          # chunks before the error
    error = "the model fell over"

Turns of the same conditions form a group. The first group whose conditions fit the
request is taken, the group without conditions last; the turns of a group
come one after the other and then from the beginning. Nothing is random.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from atoll.errors import ConfigError, Problem
from atoll.ports import Capability
from atoll.wire.json import JsonObject

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")

Conditions = tuple[str, str, int]
"""`match`, `system` and `images` of a turn."""
ALWAYS: Conditions = ("", "", 0)


class ScriptedCall(Struct, frozen=True, forbid_unknown_fields=True):
    """One tool call; without an id it gets one that counts up."""

    name: str
    arguments: JsonObject = {}
    id: str = ""


class Turn(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the model."""

    match: str = ""
    system: str = ""
    images: Annotated[int, Meta(ge=0)] = 0
    text: str = ""
    chunks: tuple[str, ...] = ()
    thinking: str = ""
    call: tuple[ScriptedCall, ...] = ()
    delay: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    error: str = ""
    after: Annotated[int, Meta(ge=0)] = 0
    reason: Literal["stop", "length"] = "stop"

    @property
    def pieces(self) -> tuple[str, ...]:
        """The chunks in which it is said."""
        return self.chunks or tuple(re.findall(r"\S+\s*|\s+", self.text))

    @property
    def conditions(self) -> Conditions:
        """What it is said to; turns of equal conditions are a group."""
        return self.match, self.system, self.images

    def fits(self, question: str, system: str, images: int) -> bool:
        """Whether it is meant for this user message, system prompt and number of pictures."""
        if self.system not in system or self.images > images:
            return False
        if pattern := _pattern(self.match):
            return re.search(pattern, question) is not None
        return self.match in question


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file; at least one turn."""

    turn: Annotated[tuple[Turn, ...], Meta(min_length=1)]
    capabilities: tuple[Capability, ...] = ("completion", "tools", "thinking")
    context_length: Annotated[int, Meta(ge=0)] = 8192


DEFAULT = Script((Turn(text="This is a scripted answer, the same every time."),))
"""What is said when the manifest names no script."""


def load_script(folder: Path, script: str | None) -> Script:
    """Read `script` from the agent's folder; raises ConfigError with what is wrong in it."""
    if script is None:
        return DEFAULT
    path = folder / script
    try:
        loaded = msgspec.toml.decode(path.read_bytes(), type=Script)
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _bad(path, str(error)) from None
    for number, turn in enumerate(loaded.turn, 1):
        if fault := _fault(turn):
            raise _bad(path, f"turn {number}: {fault}")
    return loaded


def _fault(turn: Turn) -> str:
    if turn.text and turn.chunks:
        return "has both text and chunks; give one of them"
    if turn.after and not turn.error:
        return "has `after` without `error`"
    try:
        re.compile(_pattern(turn.match))
    except re.error as error:
        return f"match is no regular expression: {error}"
    return ""


def _pattern(match: str) -> str:
    """The expression between two slashes, or ""."""
    return match[1:-1] if len(match) > 2 and match[0] == match[-1] == "/" else ""


def _bad(path: Path, message: str) -> ConfigError:
    place = _PLACE.search(message)
    line, column = map(int, place.groups()) if place else (0, 0)
    hint = "the keys are explained at the top of atoll/adapters/script.py"
    return ConfigError(
        Problem(file=str(path), message=message, line=line, column=column, hint=hint)
    )
