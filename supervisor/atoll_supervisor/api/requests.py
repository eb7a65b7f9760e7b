"""What `/openapi.json` says of bodies that are decoded by the routes themselves."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from atoll.wire.json import JsonObject
from atoll_supervisor.api.batches import BatchRequest
from atoll_supervisor.api.runs import RunRequest


class Body(Struct, frozen=True):
    """What an operation is sent, and an example of it."""

    kind: type[Struct]
    example: JsonObject


_RUN = Body(RunRequest, {"agent_name": "my_agent", "inputs": {"query": "Hello, world!"}})
_BATCH = Body(
    BatchRequest,
    {"agent_name": "my_agent", "batch_inputs": [{"query": "one"}, {"query": "two"}]},
)
_NAMED = "#/components/schemas/{name}"
BODIES: Mapping[str, Body] = {"/run/agent": _RUN, "/run/flock": _RUN, "/run/batch": _BATCH}
"""By path; the method is POST."""


def with_bodies(document: JsonObject) -> JsonObject:
    """The document, and in it what the operations of `BODIES` are sent."""
    paths = _inside(document, "paths")
    schemas = _inside(_inside(document, "components"), "schemas")
    for path, body in BODIES.items():
        _, parts = msgspec.json.schema_components([body.kind], ref_template=_NAMED)
        schemas.update(msgspec.convert(parts, dict[str, JsonObject]))
        shape: JsonObject = {"$ref": _NAMED.format(name=body.kind.__name__)}
        media: JsonObject = {"application/json": {"schema": shape, "example": body.example}}
        _inside(_inside(paths, path), "post")["requestBody"] = {"required": True, "content": media}
    return document


def _inside(table: JsonObject, key: str) -> JsonObject:
    found = table.setdefault(key, {})
    assert isinstance(found, dict)
    return found
