"""The smallest JSON value that a JSON Schema accepts, for back ends that do not think."""

from atoll.wire.json import JsonObject, JsonValue

MAX_DEPTH = 20


def instance_of(schema: JsonValue, text: str = "", root: JsonObject | None = None) -> JsonValue:
    """A value for the common parts of JSON Schema; free strings become `text`, cut to fit.

    Handles const, enum, default, $ref into the same schema, anyOf, oneOf, allOf,
    type lists, required properties, minItems, minimum and string lengths.
    `pattern` and `format` are beyond it.
    """
    whole = root if root is not None else schema if isinstance(schema, dict) else {}
    return _Maker(whole, text).value(schema, 0)


class _Maker:
    def __init__(self, root: JsonObject, text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: JsonValue, depth: int) -> JsonValue:
        if not isinstance(schema, dict) or depth > MAX_DEPTH:
            return None
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if isinstance(choices := schema.get("enum"), list) and choices:
            return choices[0]
        inner = self._inner(schema)
        return self._typed(schema, depth) if inner is None else self.value(inner, depth + 1)

    def _inner(self, schema: JsonObject) -> JsonObject | None:
        """The schema that stands for this one: behind a $ref, or the first alternative."""
        if isinstance(reference := schema.get("$ref"), str):
            return _found(self._root, reference)
        for key in ("anyOf", "oneOf"):
            if isinstance(alternatives := schema.get(key), list) and alternatives:
                first = alternatives[0]
                return _merged(schema, first, key) if isinstance(first, dict) else {}
        if isinstance(parts := schema.get("allOf"), list):
            joined = {key: value for key, value in schema.items() if key != "allOf"}
            for part in parts:
                joined = _merged(joined, part, "") if isinstance(part, dict) else joined
            return joined
        return None

    def _typed(self, schema: JsonObject, depth: int) -> JsonValue:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema, self._text)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return False
            case _:
                return None

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        properties = schema.get("properties")
        parts = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = required if isinstance(required, list) else list[JsonValue]()
        return {
            name: self.value(parts.get(name, {"type": "string"}), depth + 1)
            for name in names
            if isinstance(name, str)
        }

    def _array(self, schema: JsonObject, depth: int) -> list[JsonValue]:
        least = schema.get("minItems")
        count = min(least, 100) if isinstance(least, int) else 0
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]


def _type_of(schema: JsonObject) -> JsonValue:
    kind = schema.get("type")
    if isinstance(kind, list):
        return kind[0] if kind else None
    return kind or ("object" if "properties" in schema else None)


def _string(schema: JsonObject, text: str) -> str:
    least, most = schema.get("minLength"), schema.get("maxLength")
    padded = text.ljust(least) if isinstance(least, int) and least <= 10_000 else text
    return padded[:most] if isinstance(most, int) else padded


def _number(schema: JsonObject) -> JsonValue:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if isinstance(least, int | float):
        return least
    if isinstance(above, int | float) and not isinstance(above, bool):
        return above + 1
    most = schema.get("maximum")
    return most if isinstance(most, int | float) and most < 0 else 0


def _merged(schema: JsonObject, part: JsonObject, without: str) -> JsonObject:
    """Both schemas in one: keywords of `part` win, properties and required are joined."""
    joined = {key: value for key, value in schema.items() if key != without} | part
    for key in ("properties", "required"):
        left, right = schema.get(key), part.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            joined[key] = left | right
        if isinstance(left, list) and isinstance(right, list):
            joined[key] = left + right
    return joined


def _found(root: JsonObject, reference: str) -> JsonObject:
    """What `#/$defs/name` points at, or an empty schema."""
    place: JsonValue = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        place = place.get(name) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else {}
