"""An operation as a command that can be tried. Pure."""

import re
import shlex
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from atoll.wire.json import JsonObject, JsonValue

DEPTH = 4
"""Levels of an example body; types may hold themselves."""
SHOWN = '-H "Authorization: Bearer $(atoll token show)"'
WORDS: JsonObject = {
    "content": "Hello",
    "input": "Hello",
    "max_tokens": 64,
    "message": "Hello",
    "messages": [],
    "prompt": "Hello",
    "role": "user",
}
"""What stands in fields of these names; they are told whether they must be there or not."""
_PLAIN: JsonObject = {"string": "text", "integer": 1, "number": 1.0, "boolean": True}


class Examples(Struct, frozen=True):
    """Makes commands for what is served at `base`; `words` are told in fields of those names."""

    base: str
    schemas: JsonObject
    words: Mapping[str, JsonValue]

    def curl(self, path: str, method: str, operation: JsonObject) -> str:
        """The command for an operation of an OpenAPI document."""
        place = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: self._named(found[1]), path)
        words = ["curl", *([] if method == "get" else ["-X", method.upper()])]
        if operation.get("security"):
            words.append(SHOWN)
        if (schema := body_of(operation)) is not None:
            body = msgspec.json.encode(self.sample(schema)).decode()
            words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(body)]
        query = "&".join(f"{name}={self._named(name)}" for name in asked(operation))
        whole = f"{self.base}{place}?{query}" if query else self.base + place
        return " ".join((*words, shlex.quote(whole)))

    def sample(self, schema: JsonObject, name: str = "", depth: int = DEPTH) -> JsonValue:
        """A value that the schema takes: what must be in it, and what says most."""
        if isinstance(ref := schema.get("$ref"), str):
            found = self.schemas.get(ref.rpartition("/")[2])
            return self.sample(found, name, depth) if isinstance(found, dict) else {}
        for several in ("anyOf", "oneOf"):
            if isinstance(choices := schema.get(several), list):
                return self._first(choices, name, depth)
        if isinstance(named := schema.get("enum"), list) and named:
            return self.words[name] if self.words.get(name) in named else named[0]
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                items = schema.get("items")
                if not isinstance(items, dict) or depth == 0:
                    return []
                return [self.sample(items, name, depth - 1)]
            case str(kind):
                return self.words.get(name, _PLAIN.get(kind))
            case _:
                return self.words.get(name)

    def _first(self, choices: list[JsonValue], name: str, depth: int) -> JsonValue:
        real = (one for one in choices if isinstance(one, dict) and one.get("type") != "null")
        found = next(real, None)
        return self.sample(found, name, depth) if found is not None else None

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        fields, needed = schema.get("properties"), schema.get("required")
        if not isinstance(fields, dict) or depth == 0:
            return {}
        must = needed if isinstance(needed, list) else []
        said = self.words.keys() - ({"prompt"} if "input" in fields else set())
        return {
            name: self.sample(field, name, depth - 1)
            for name, field in fields.items()
            if isinstance(field, dict) and (name in must or name in said)
        }

    def _named(self, parameter: str) -> str:
        return str(self.words.get(parameter, parameter.upper()))


def body_of(operation: JsonObject) -> JsonObject | None:
    """The schema of the JSON that an operation takes."""
    taken = operation.get("requestBody")
    content = taken.get("content") if isinstance(taken, dict) else None
    kind = content.get("application/json") if isinstance(content, dict) else None
    schema = kind.get("schema") if isinstance(kind, dict) else None
    return schema if isinstance(schema, dict) else None


def asked(operation: JsonObject) -> list[str]:
    """The parameters that a query must have."""
    parameters = operation.get("parameters")
    return [
        str(one["name"])
        for one in (parameters if isinstance(parameters, list) else ())
        if isinstance(one, dict) and one.get("in") == "query" and one.get("required") is True
    ]
