"""What a call came to, as text for the model."""

import pytest
from mcp_types import CallToolResult

from atoll.adapters.mcp.results import outcome_of
from atoll.ports import Outcome

URI = "file:///x"
PNG, WAV = "image/png", "audio/wav"
BLOB = {"uri": URI, "mimeType": "a/b", "blob": "AAAA"}


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "text", "text": "a\nb"}, "a\nb"),
        ({"type": "image", "data": "AAAA", "mimeType": PNG}, f"[image of type {PNG}: left out]"),
        ({"type": "audio", "data": "AAAA", "mimeType": WAV}, f"[audio of type {WAV}: left out]"),
        ({"type": "resource_link", "name": "X", "uri": URI}, "[X: file:///x]"),
        ({"type": "resource", "resource": {"uri": URI, "text": "inside"}}, "inside"),
        ({"type": "resource", "resource": BLOB}, "[file:///x of type a/b: left out]"),
    ],
)
def test_each_kind_of_content_becomes_text(block: dict, text: str) -> None:
    result = CallToolResult.model_validate({"content": [block, {"type": "text", "text": "."}]})
    assert outcome_of(result, 1000) == Outcome(f"{text}\n.")


def test_structured_content_stands_in_for_missing_text() -> None:
    result = CallToolResult.model_validate({"content": [], "structuredContent": {"a": [1]}})
    assert outcome_of(result, 1000) == Outcome('{"a":[1]}')


def test_a_failure_of_the_tool_is_one_and_is_cut_too() -> None:
    content = [{"type": "text", "text": "x" * 150}]
    result = CallToolResult.model_validate({"content": content, "isError": True})
    assert outcome_of(result, 100) == Outcome("x" * 100 + "\n[cut: 50 characters more]", True)
