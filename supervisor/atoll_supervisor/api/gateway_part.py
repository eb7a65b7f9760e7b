"""The gateway's routes in the daemon's document: those of an agent that name a model."""

import re

import msgspec

from atoll.http.reference.document import AGENTS_TOKEN, described, tags_of
from atoll.http.reference.operations import OPERATIONS
from atoll.wire.json import JsonObject
from atoll_supervisor.api.bodies import inside

_GROUPS = ("Ollama", "OpenAI", "Anthropic")
_REF = re.compile(rb'"#/components/schemas/')
_OURS = "agent."
"""Begins the names of the agents' types, of which some are called as the daemon's are."""


def add_gateway(document: JsonObject, *, is_private: bool) -> None:
    """Add paths, types and groups; where the agents' port `is_private`, so is the gateway."""
    operations = [one for one in OPERATIONS if one.group in _GROUPS]
    found = msgspec.json.encode(described(operations, is_private=is_private))
    renamed = _REF.sub(rb"\g<0>" + _OURS.encode(), found)
    paths, schemas = msgspec.json.decode(renamed, type=tuple[JsonObject, JsonObject])
    inside(document, "paths").update(paths)
    inside(document, "components", "schemas").update(
        {_OURS + name: schema for name, schema in schemas.items()}
    )
    if is_private:
        inside(document, "components", "securitySchemes")["agents"] = AGENTS_TOKEN
    tags = document.setdefault("tags", [])
    assert isinstance(tags, list)
    tags += tags_of(operations)
