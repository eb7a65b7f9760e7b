"""What OpenAI-compatible servers answer, in all their spellings."""

import pytest

from atoll.adapters import openai_wire as wire
from atoll.adapters.lenient_json import decoded
from atoll.adapters.openai_wire import CallParts, CallPiece, Function
from atoll.errors import UpstreamGarbage
from atoll.ports import TextDelta, ThinkingDelta


def piece(index=None, id=None, name=None, arguments=None) -> CallPiece:
    return CallPiece(index, id, Function(name, arguments))


def taken(*pieces: CallPiece):
    parts = CallParts()
    for one in pieces:
        parts.add([one])
    return [(call.id, call.name, call.arguments) for call in parts.take()]


def test_arguments_are_joined_by_index_and_keep_their_order():
    assert taken(
        piece(0, "c0", "a", ""),
        piece(1, "c1", "b", '{"z":'),
        piece(0, None, None, '{"y":1,'),
        piece(1, None, None, "1}"),
        piece(0, None, None, '"a":2}'),
    ) == [("c0", "a", {"y": 1, "a": 2}), ("c1", "b", {"z": 1})]


def test_a_new_id_begins_a_new_call_even_at_the_same_index():
    found = taken(piece(0, "c0", "a", "{}"), piece(0, "c1", "b", "{}"), piece(0, None, None, ""))
    assert [name for _, name, _ in found] == ["a", "b"]


def test_calls_without_any_index_are_told_apart_by_id():
    found = taken(
        piece(None, "c0", "a", '{"x":'), piece(None, None, None, "1}"), piece(None, "c1", "b")
    )
    assert found == [("c0", "a", {"x": 1}), ("c1", "b", {})]


def test_arguments_may_be_an_object_or_missing():
    assert taken(piece(0, "c", "a", {"x": 1})) == [("c", "a", {"x": 1})]
    assert taken(piece(0, "c", "a", None)) == [("c", "a", {})]


def test_a_call_without_an_id_gets_one():
    [(made, _, _)] = taken(piece(0, None, "a", "{}"))
    assert made.startswith("call_")
    assert len(made) == 13


@pytest.mark.parametrize("arguments", ["{", "[1]", "nonsense", '{"a":1}{', "[" * 100_000])
def test_arguments_that_are_no_object_are_told_with_the_tools_name(arguments: str):
    with pytest.raises(UpstreamGarbage, match="call of weather"):
        taken(piece(0, "c", "weather", arguments))


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (b'data: {"a":1}\r', b'{"a":1}'),
        (b'data:{"a":1}', b'{"a":1}'),
        (b"data: [DONE]", b"[DONE]"),
        (b'error: {"message":"x"}', b'{"message":"x"}'),
        (b'{"error":"x"}', b'{"error":"x"}'),
        (b": ping", None),
        (b"event: message", None),
        (b"id: 3", None),
        (b"", None),
        (b"data:", None),
    ],
)
def test_sse_lines_are_read(line: bytes, data: bytes | None):
    assert wire.data_of(line) == data


def chunks(json: bytes):
    [choice] = decoded(wire.EVENT, json, "the server").choices or []
    return wire.chunks_of(choice)


def test_null_content_says_nothing():
    assert chunks(b'{"choices":[{"delta":{"role":"assistant","content":null}}]}') == []


def test_both_spellings_of_reasoning_are_thinking():
    for key in (b"reasoning", b"reasoning_content"):
        assert chunks(b'{"choices":[{"delta":{"%s":"hm"}}]}' % key) == [ThinkingDelta("hm")]


def test_text_of_plain_completions_is_text():
    assert chunks(b'{"choices":[{"text":"hm"}]}') == [TextDelta("hm")]


def test_llama_cpps_cached_tokens_are_counted_as_prompt():
    event = decoded(
        wire.EVENT,
        b'{"choices":[],"timings":{"prompt_n":1,"cache_n":24,"prompt_ms":0.5,'
        b'"predicted_n":3,"predicted_ms":2.0}}',
        "the server",
    )
    usage = wire.usage_of(event)
    assert (usage.prompt_tokens, usage.completion_tokens) == (25, 3)
    assert (usage.prompt_ns, usage.completion_ns) == (500_000, 2_000_000)


def test_broken_utf8_and_lone_surrogates_become_replacement_characters():
    assert chunks(b'{"choices":[{"delta":{"content":"a\xff\xf0\x9fb"}}]}')[0].text.startswith(
        "a\ufffd"
    )
    assert chunks(rb'{"choices":[{"delta":{"content":"a\ud83db"}}]}') == [TextDelta("a\ufffdb")]
    assert chunks(rb'{"choices":[{"delta":{"content":"\ud83d\ude00"}}]}') == [TextDelta("😀")]


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"choices":3}', b"[" * 200_000, b"\xff\xfe", b"1e"])
def test_anything_else_is_garbage_and_is_shown(raw: bytes):
    with pytest.raises(UpstreamGarbage, match=r"^the server sent .* not as agreed: .* check"):
        decoded(wire.EVENT, raw, "the server")
