"""One operation as an OpenAPI document tells it."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from msgspec import Struct

from atoll.http.bearer import OPEN
from atoll.http.faults import dialect_of
from atoll.http.reference.errors import ERROR_TYPES, errors_of
from atoll.http.reference.operation import JSON, Operation, Type
from atoll.wire.json import JsonObject, JsonValue

_WEBSOCKET = "x-websocket"
_OK = {True: "The answer", False: "A stream, of which this is one part"}

Answers = dict[str, dict[str, JsonValue]]
"""By operation and media type."""


class Told(Struct, frozen=True):
    """Makes entries with the references `refs` into `schemas`, and the recorded `answers`."""

    refs: Mapping[Type, JsonValue]
    schemas: JsonObject
    answers: Answers
    is_private: bool

    def entry(self, operation: Operation) -> JsonObject:
        """What stands in the document under the operation's path and method."""
        told: JsonObject = {
            "tags": [operation.group],
            "summary": operation.summary,
            "description": operation.description,
            "operationId": operation.key,
            "parameters": [*_in_path(operation), *self._in_query(operation)],
            "security": [{"agents": []}] if self._wants_token(operation) else [],
        }
        if operation.is_websocket:
            return {**told, **self._frames(operation)}
        if operation.takes is not None:
            media: JsonObject = {"schema": self.refs[operation.takes], "example": operation.example}
            told["requestBody"] = {"required": True, "content": {JSON: media}}
        told["responses"] = {"200": self._success(operation), **self._errors(operation)}
        return told

    def _wants_token(self, operation: Operation) -> bool:
        return self.is_private and operation.path not in OPEN

    def _frames(self, operation: Operation) -> JsonObject:
        """OpenAPI has no words for what goes over a WebSocket."""
        frames: JsonObject = {
            "client": self.refs[operation.takes or object],
            "server": {"oneOf": [self.refs[one] for one in operation.streams]},
            "example": operation.example,
        }
        switched: JsonObject = {"description": HTTPStatus.SWITCHING_PROTOCOLS.phrase}
        return {_WEBSOCKET: frames, "responses": {"101": switched, **self._errors(operation)}}

    def _success(self, operation: Operation) -> JsonObject:
        content: JsonObject = {}
        answers = self.answers.get(operation.key, {})
        if (given := operation.gives) is not None:
            media: JsonObject = {"schema": self.refs[given], "example": answers[operation.media]}
            content[operation.media] = media
        if operation.streams:
            parts = [self.refs[one] for one in operation.streams]
            schema: JsonValue = {"oneOf": parts} if len(parts) > 1 else parts[0]
            content[operation.flow] = {"schema": schema, "example": answers[operation.flow]}
        return {"description": _OK[operation.gives is not None], "content": content}

    def _errors(self, operation: Operation) -> JsonObject:
        shape = self.refs[ERROR_TYPES[dialect_of(operation.path)]]
        return {
            status: {
                "description": meaning,
                "content": {JSON: {"schema": shape, "example": example}},
            }
            for status, meaning, example in errors_of(operation, is_private=self.is_private)
        }

    def _in_query(self, operation: Operation) -> Iterator[JsonObject]:
        ref = self.refs[operation.query] if operation.query is not None else None
        name = str(ref["$ref"]).rpartition("/")[2] if isinstance(ref, dict) else ""
        schema = self.schemas.get(name, {})
        assert isinstance(schema, dict)
        fields, required = schema.get("properties", {}), schema.get("required", [])
        assert isinstance(fields, dict)
        assert isinstance(required, list)
        for name, field in fields.items():
            told: JsonObject = {"name": name, "in": "query", "required": name in required}
            told["description"] = operation.says[name]
            if name in operation.asks:
                told["example"] = operation.asks[name]
            yield {**told, "schema": field}


def _in_path(operation: Operation) -> Iterator[JsonObject]:
    for name, (example, meaning) in operation.parameters.items():
        told: JsonObject = {"name": name, "in": "path", "required": True, "description": meaning}
        yield {**told, "example": example, "schema": {"type": "string"}}
