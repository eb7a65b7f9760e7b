"""Which JSON Schemas are taken for one, and how the place of a fault is told."""

import pytest

from atoll.errors import ClientError
from atoll.http.schemas import checked
from atoll.wire.json import JsonObject


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "enum": ["a", None]},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
        {"type": "array", "items": [{"type": "string"}], "additionalItems": False},
        {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}},
        {"properties": {"type": {"type": "string"}, "items": {"type": "array"}}},
        {"x-vendor": 5, "title": "T", "type": "integer"},
    ],
)
def test_what_clients_send_passes_as_it_is(schema: JsonObject) -> None:
    assert checked(schema) is schema


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": 5}, "$.type is none of"),
        ({"type": ["string", "text"]}, "$.type is none of array, boolean"),
        ({"enum": "a"}, "$.enum is not an array"),
        ({"required": "a"}, "$.required is not an array of names"),
        ({"anyOf": {"type": "null"}}, "$.anyOf is not an array of schemas"),
        ({"oneOf": [None]}, "$.oneOf[0] is not a schema"),
        ({"$defs": []}, "$.$defs is not an object of schemas"),
        ({"items": [{"type": "x"}]}, "$.items[0].type"),
        ({"properties": {"a": {"not": []}}}, "$.properties.a.not is not a schema"),
    ],
)
def test_a_fault_is_told_with_its_place(schema: JsonObject, told: str) -> None:
    with pytest.raises(ClientError, match=r"^invalid JSON schema in format: ") as caught:
        checked(schema)
    assert told in str(caught.value)
