"""Signatures of strangers: whatever is written, it parses or is refused."""

import random
from collections.abc import Callable
from typing import TypeVar

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.config.signature import (
    MAX_FIELDS,
    SignatureError,
    parse_signature,
    split_signature,
)
from atoll.config.signature_values import faults_of, json_schema

T = TypeVar("T")

WORDS = ["a", "b_1", "str", "int", "list", "dict", "Literal", "Optional", "__import__('os')"]
MARKS = [*"[](){},:|?'\" \n\0é", "-1", "->", "None", "\ud800"]
PIECES = st.sampled_from([*WORDS, *MARKS])
HOSTILE = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200)

PLAIN = st.sampled_from(["str", "int", "float", "bool", "Literal['a', 2]"])
TYPES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        inner.map("list[{}]".format),
        inner.map("dict[str, {}]".format),
        inner.map("Optional[{}]".format),
        inner.map("{}?".format),
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner),
    max_leaves=6,
)


def outcome(text: str, parse: Callable[[str], T]) -> T | SignatureError:
    try:
        return parse(text)
    except SignatureError as error:
        return error


@given(HOSTILE)
def test_any_text_parses_or_is_refused_with_a_place_in_it(text: str) -> None:
    found = outcome(text, parse_signature)
    if isinstance(found, SignatureError):
        assert 1 <= found.at <= len(text) + 1
        assert found.hint
    else:
        assert 1 <= len(found.fields) <= MAX_FIELDS


@given(HOSTILE)
def test_any_text_splits_into_two_that_parse_or_is_refused(text: str) -> None:
    found = outcome(text, split_signature)
    if isinstance(found, SignatureError):
        assert 1 <= found.at <= len(text) + 1
        assert found.hint
    else:
        assert all(parse_signature(side).fields for side in found)


def test_a_hundred_thousand_signatures_of_strangers_parse_or_are_refused() -> None:
    """The number that issue 6 names; hypothesis above looks closer, at fewer."""
    seed = random.SystemRandom().randrange(10**9)
    chance, pieces = random.Random(seed), [*WORDS, *MARKS]
    for _ in range(100_000):
        text = "".join(chance.choices(pieces, k=chance.randrange(40)))
        try:
            outcome(text, chance.choice((parse_signature, split_signature)))
        except Exception as error:
            raise AssertionError(f"{text!r} of seed {seed}") from error


@given(st.lists(TYPES, min_size=1, max_size=4), st.data())
def test_the_schema_and_the_check_agree(types: list[str], data: st.DataObject) -> None:
    named = zip("abcd", types, strict=False)
    signature = parse_signature(", ".join(f"{name}: {words}" for name, words in named))
    values = data.draw(st.dictionaries(st.sampled_from("abcd"), VALUES))
    schema = json_schema(signature)
    jsonschema.Draft202012Validator.check_schema(schema)
    fits = jsonschema.Draft202012Validator(schema).is_valid(values)
    assert fits == (faults_of(signature, values, "input") == ())


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 10_000, "a" + ":" * 10_000, "a|" + "(" * 16_000, "'" * 16_000]
)
def test_a_wall_of_one_character_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        parse_signature(text)
