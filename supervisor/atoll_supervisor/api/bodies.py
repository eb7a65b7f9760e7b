"""What `/openapi.json` says of bodies: an example of each, and those that routes decode alone."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from atoll.http.reference.operation import NAME
from atoll.wire.json import JsonObject
from atoll_supervisor.api.batches import BatchRequest
from atoll_supervisor.api.runs import RunRequest

_NAMED = "#/components/schemas/{name}"
_RUN: JsonObject = {"agent_name": NAME, "inputs": {"query": "Hello, world!"}}
EXAMPLES: Mapping[str, JsonObject] = {
    "run_agent": _RUN,
    "run_flock": _RUN,
    "run_batch": {"agent_name": NAME, "batch_inputs": [{"query": "one"}, {"query": "two"}]},
    "create_service": {
        "recipe_name": "inference/vllm",
        "config": {
            "environment": {"VLLM_MODEL": "gpt2"},
            "resources": {"cpu": 1, "memory": "1G"},
        },
    },
    "set_service_status": {"status": "cancelled"},
    "prompt_service": {"prompt": "Hello, world!"},
}
"""By operation: a body that works."""
_DECODED: Mapping[str, type[Struct]] = {
    "run_agent": RunRequest,
    "run_flock": RunRequest,
    "run_batch": BatchRequest,
}
"""Whose routes decode their bodies by themselves, so that Litestar knows nothing of them."""


def add_body(operation: JsonObject, schemas: JsonObject) -> None:
    """Say in an operation what it is sent; a type that is not there yet joins the `schemas`."""
    name = str(operation["operationId"])
    if (kind := _DECODED.get(name)) is not None:
        _, parts = msgspec.json.schema_components([kind], ref_template=_NAMED)
        schemas.update(msgspec.convert(parts, dict[str, JsonObject]))
        shape: JsonObject = {"$ref": _NAMED.format(name=kind.__name__)}
        media: JsonObject = {"application/json": {"schema": shape}}
        operation["requestBody"] = {"required": True, "content": media}
    if (example := EXAMPLES.get(name)) is not None:
        inside(operation, "requestBody", "content", "application/json")["example"] = example


def inside(table: JsonObject, *keys: str) -> JsonObject:
    """The object at the end of these keys, made where it is not there."""
    for key in keys:
        found = table.setdefault(key, {})
        assert isinstance(found, dict)
        table = found
    return table
