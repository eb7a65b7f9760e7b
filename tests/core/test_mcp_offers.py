"""What a server says of its tools, made fit for a model."""

import pytest
from mcp_types import Tool

from atoll.adapters.mcp.offers import MOST_DESCRIPTION, MOST_TOOLS, offers_of

OBJECT = {"type": "object"}


def tool(name: str = "t", **fields) -> Tool:
    return Tool.model_validate({"name": name, "inputSchema": OBJECT, **fields})


def test_an_ordinary_tool_comes_through_as_it_is() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {}}}
    (offer,), told = offers_of([tool(description="Adds.\nTwo lines", inputSchema=schema)])
    assert (offer.name, offer.description, offer.parameters) == ("t", "Adds.\nTwo lines", schema)
    assert told == ()


def test_a_tool_without_words_is_described_by_its_title_or_name() -> None:
    offers, _ = offers_of([tool("a", title="A tool"), tool("b")])
    assert [offer.description for offer in offers] == ["A tool", "b"]


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\U000e0041", "\x1b", "\ue000", "\x00"])
def test_characters_that_nobody_sees_are_taken_out(hidden: str) -> None:
    schema = {"type": "object", "properties": {"a": {"description": f"x{hidden}y"}}}
    (offer,), _ = offers_of([tool(description=f"a{hidden}b", inputSchema=schema)])
    assert offer.description == "ab"
    assert offer.parameters["properties"] == {"a": {"description": "xy"}}


def test_hidden_characters_change_the_digest_all_the_same() -> None:
    (one, other), _ = offers_of([tool("a", description="x"), tool("b", description="x")])
    (hidden,), _ = offers_of([tool("a", description="x\u200b")])
    assert len({one.digest, other.digest, hidden.digest}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"description": "other"},
        {"title": "other"},
        {"inputSchema": {"type": "object", "required": []}},
        {"outputSchema": OBJECT},
        {"annotations": {"readOnlyHint": True}},
    ],
)
def test_everything_that_is_said_of_a_tool_counts_for_its_digest(change: dict) -> None:
    (before,), _ = offers_of([tool()])
    (after,), _ = offers_of([tool(**change)])
    assert before.digest != after.digest


def test_a_long_description_is_cut() -> None:
    (offer,), _ = offers_of([tool(description="x" * 10_000_000)])
    assert offer.description == "x" * MOST_DESCRIPTION + " [cut]"


def nested(levels: int) -> dict:
    schema: dict = {}
    for _ in range(levels):
        schema = {"items": [schema]}
    return {"type": "object", "properties": schema}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "object", "$ref": "https://example.org/s"}, "a $ref to another place"),
        ({"properties": {"a": {"anyOf": [{"$ref": "file:///x"}]}}}, "a $ref to another place"),
        ({"$dynamicRef": "http://example.org"}, "a $dynamicRef to another place"),
        ({"$ref": 3}, "a $ref to another place"),
        ({"type": "array"}, "its arguments are no object"),
        ({"description": "x" * 40_000}, "its schema has over"),
        (nested(40), "levels deep"),
    ],
)
def test_a_schema_that_no_model_should_get_leaves_its_tool_out(schema: dict, why: str) -> None:
    offers, (told,) = offers_of([tool(inputSchema=schema)])
    assert offers == ()
    assert told.startswith("its tool 't' is left out: ")
    assert why in told


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "a\n", "a:b", "ä"])
def test_a_name_outside_the_protocols_rule_leaves_its_tool_out(name: str) -> None:
    offers, (told,) = offers_of([tool(name)])
    assert offers == ()
    assert "\n" not in told


def test_only_so_many_tools_of_one_server_are_used() -> None:
    offers, (told,) = offers_of([tool(f"t{n}") for n in range(MOST_TOOLS + 5)])
    assert len(offers) == MOST_TOOLS
    assert told == f"offers {MOST_TOOLS + 5} tools; the first {MOST_TOOLS} are used"
