"""What each client script is told: the server, the model, and what to ask it.

A script gets one JSON object as its argument, does what a user of its library
does, and ends with exit 0; whatever does not hold raises. `prompts` may have
"plain", "tool" (makes the model call the tool `weather`), "schema" (makes it answer
with the properties name and age), "fails" (the model fails after its first token);
`abilities` are the words of /api/show.
"""

import json
import sys
from collections.abc import Callable
from typing import NamedTuple, TypeVar

E = TypeVar("E", bound=Exception)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
UNKNOWN = "no-such-model"


class Case(NamedTuple):
    """One server to be talked to."""

    url: str
    model: str
    prompts: dict[str, str]
    abilities: tuple[str, ...]

    @property
    def plain(self) -> str:
        """A question that gets words."""
        return self.prompts.get("plain", "Say hello in one short sentence.")

    @property
    def tool(self) -> str | None:
        """A question that gets a tool call, where the model can make one."""
        asked = self.prompts.get("tool", "What is the weather in Rome? Use the tool.")
        return asked if "tools" in self.abilities else None

    @property
    def schema(self) -> str:
        """A question about a person, for an answer in JSON."""
        return self.prompts.get("schema", "Invent a person: name and age.")

    @property
    def embeds(self) -> bool:
        """Whether the model makes embeddings."""
        return "embedding" in self.abilities


def raised(kind: type[E], call: Callable[[], object]) -> E:
    """The error that a call ends with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def case() -> Case:
    """What the command line says."""
    told = json.loads(sys.argv[1])
    return Case(told["url"], told["model"], told["prompts"], tuple(told["abilities"]))


def is_person(text: str) -> bool:
    """Whether a JSON text is what `PERSON` asks for."""
    found = json.loads(text)
    return isinstance(found["name"], str) and isinstance(found["age"], int)


def same(listed: str, asked: str) -> bool:
    """Whether two names are one model's: the tag `latest` and the case do not count."""
    left, right = (name.lower().removesuffix(":latest") for name in (listed, asked))
    return left == right
