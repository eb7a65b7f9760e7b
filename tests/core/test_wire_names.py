"""Names of tools on OpenAI's wire."""

import re

from hypothesis import given
from hypothesis import strategies as st

from atoll.adapters.wire_names import off_wire, on_wire, wire_name, wire_names
from atoll.ports import ModelRequest
from atoll.wire.messages import Call, Message, ToolSpec


def spec(name: str) -> ToolSpec:
    return ToolSpec(name, "", {})


def test_a_dot_becomes_two_underscores_and_what_fits_stays() -> None:
    assert wire_name("files.read") == "files__read"
    assert wire_name("get_weather-2") == "get_weather-2"
    assert wire_name("a b/c") == "a_b_c"


@given(st.lists(st.text(min_size=1), unique=True, max_size=8))
def test_every_name_fits_and_leads_back(names: list[str]) -> None:
    made = wire_names(names)
    assert sorted(made.values()) == sorted(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in made)


def test_a_request_and_its_answer_are_translated_to_and_fro() -> None:
    call = Call("1", "a.b", {"x": 1})
    request = ModelRequest(
        messages=(
            Message(role="assistant", calls=(call, Call("2", "old.one", {}))),
            Message(role="tool", content="r", tool_name="a.b"),
        ),
        tools=(spec("a.b"), spec("a__b")),
    )
    sent = on_wire(request)
    first, second = (tool.name for tool in sent.tools)
    assert first == "a__b"
    assert second.startswith("a__b_")
    assert [made.name for made in sent.messages[0].calls] == ["a__b", "old__one"]
    assert sent.messages[1].tool_name == "a__b"
    back = off_wire(
        [Call("1", first, {}), Call("2", second, {}), Call("3", "made_up", {})], request
    )
    assert [made.name for made in back] == ["a.b", "a__b", "made_up"]
