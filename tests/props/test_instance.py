"""What the demo makes for a schema is accepted by a real validator."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.adapters.instance import instance_of
from atoll.wire.json import JsonObject

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda low: {"type": "integer", "minimum": low}, st.integers(-9, 9)),
    st.builds(lambda high: {"type": "number", "maximum": high}, st.integers(-9, 9)),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, st.integers(-9, 9)),
    st.builds(lambda least: {"type": "string", "minLength": least}, st.integers(0, 9)),
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 9)),
    st.builds(lambda value: {"const": value}, st.one_of(st.none(), st.integers(), st.text())),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers(), min_size=1, unique=True)),
)


def _objects(inner: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[JsonObject]:
    return st.builds(
        lambda parts: {"type": "object", "properties": parts, "required": list(parts)},
        st.dictionaries(NAMES, inner, max_size=3),
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        st.builds(
            lambda items, n: {"type": "array", "items": items, "minItems": n},
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"oneOf": parts}, st.lists(inner, min_size=1, max_size=1)),
        st.builds(lambda part: {"allOf": [part]}, inner),
        st.builds(lambda part: {"$ref": "#/$defs/x", "$defs": {"x": part}}, LEAVES),
    ),
    max_leaves=8,
)


@given(
    SCHEMAS.filter(lambda schema: "$ref" in schema or "$defs" not in str(schema)),
    st.text(max_size=5),
)
def test_the_instance_is_valid(schema: JsonObject, text: str):
    jsonschema.validate(instance_of(schema, text), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"$ref": "#/nowhere"},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**12},
        {"anyOf": "x", "allOf": [1], "oneOf": [], "required": [1], "properties": 3},
        True,
        [],
    ],
)
def test_hostile_schemas_end(schema: JsonObject):
    instance_of(schema)
