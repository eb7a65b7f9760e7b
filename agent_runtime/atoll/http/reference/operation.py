"""What is told of one route by hand."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from atoll.wire.json import JsonObject

Group = Literal["Ollama", "OpenAI", "Anthropic", "Conversations", "Events", "Agent"]
Type = type[object]

NAME = "my-agent"
"""Stands for the agent's name in examples; a document has the name of the agent it is of."""
SESSION = "tour"
"""The session of all examples, so that each works after the ones above it."""
JSON, TEXT, HTML = "application/json", "text/plain", "text/html"
NDJSON, SSE = "application/x-ndjson", "text/event-stream"


class Operation(NamedTuple):
    """One method of one path.

    `takes` is a JSON body and `example` one that works; `query` is what stands in the URL,
    `asks` an example of it, and `says` what its fields are. `gives` is the answer in one
    piece, whose media type is `media`; `streams` are the types of a stream's parts, whose
    media type is `flow`. `dict` is an object that has no type of ours. `parameters` says what
    the parts of the path are: an example and a description each. A `turn` asks the model.
    """

    method: Literal["get", "post", "delete"]
    path: str
    group: Group
    summary: str
    description: str
    takes: Type | None = None
    example: JsonObject | None = None
    gives: Type | None = None
    media: str = JSON
    streams: tuple[Type, ...] = ()
    flow: str = SSE
    query: Type | None = None
    asks: Mapping[str, str] = {}
    says: Mapping[str, str] = {}
    parameters: Mapping[str, tuple[str, str]] = {}
    turn: bool = False

    @property
    def key(self) -> str:
        """What the operation is called where each has a name of its own: `get_api_version`."""
        words = re.findall(r"[a-z0-9]+", self.path) or ["root"]
        return "_".join((self.method, *words))

    @property
    def is_websocket(self) -> bool:
        """Whether it is no HTTP once it has begun."""
        return self.path.startswith("/ws/")
