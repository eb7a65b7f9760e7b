"""What is asked of an Ollama, and how its lines are read."""

import pytest

from atoll.adapters import ollama_wire as wire
from atoll.adapters.lenient_json import decoded
from atoll.errors import UpstreamGarbage
from atoll.ports import CallsDelta, ModelRequest, TextDelta, ThinkingDelta
from atoll.wire.messages import Call, Message, Options, ToolSpec

ALL_OPTIONS = Options(
    temperature=0.0,
    top_p=0.5,
    top_k=3,
    min_p=0.1,
    max_tokens=7,
    seed=0,
    stop=("a", "b"),
    presence_penalty=0.2,
    frequency_penalty=0.3,
    repeat_penalty=1.1,
    extra={"num_ctx": 512, "seed": 9},
)


def test_every_option_has_ollamas_name_and_extra_goes_below():
    assert wire.options_json(ALL_OPTIONS) == {
        "num_ctx": 512,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "num_predict": 7,
        "seed": 0,
        "stop": ["a", "b"],
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "repeat_penalty": 1.1,
    }


def test_nothing_is_sent_that_was_not_asked_for():
    body = wire.body_of("m", ModelRequest(messages=(Message(role="user", content="hi"),)))
    assert body == {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def test_a_whole_conversation_is_sent():
    call = Call("call_1", "t", {"z": 1, "a": 2})
    request = ModelRequest(
        messages=(
            Message(role="system", content="s"),
            Message(role="user", content="u", images=("aGk=",)),
            Message(role="assistant", thinking="hm", calls=(call,)),
            Message(role="tool", content="r", tool_name="t", call_id="call_1"),
        ),
        tools=(ToolSpec("t", "does", {"type": "object"}),),
        format={"type": "object"},
        think="low",
        keep_alive="5m",
    )
    body = wire.body_of("m", request)
    assert body["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u", "images": ["aGk="]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [
                {
                    "id": "call_1",
                    "function": {"index": 0, "name": "t", "arguments": {"z": 1, "a": 2}},
                }
            ],
        },
        {"role": "tool", "content": "r", "tool_name": "t", "tool_call_id": "call_1"},
    ]
    assert (body["format"], body["think"], body["keep_alive"]) == ({"type": "object"}, "low", "5m")
    assert body["tools"][0]["type"] == "function"


def test_think_false_and_keep_alive_0_are_sent():
    body = wire.body_of("m", ModelRequest(think=False, keep_alive=0))
    assert (body["think"], body["keep_alive"]) == (False, 0)


def test_a_raw_prompt_goes_alone():
    body = wire.body_of("m", ModelRequest(raw_prompt="once"))
    assert body == {"model": "m", "stream": True, "prompt": "once", "raw": True}


def test_a_suffix_leaves_the_template_to_the_model():
    body = wire.body_of("m", ModelRequest(raw_prompt="once", suffix="end"))
    assert body == {"model": "m", "stream": True, "prompt": "once", "suffix": "end"}


def test_a_line_is_read_thinking_first():
    line = decoded(
        wire.LINE,
        b'{"message":{"content":"c","thinking":"t","tool_calls":'
        b'[{"function":{"name":"f","arguments":{"z":1,"a":2}}}]},"done":false}',
        "the server",
    )
    thought, text, calls = wire.chunks_of(line)
    assert (thought, text) == (ThinkingDelta("t"), TextDelta("c"))
    assert isinstance(calls, CallsDelta)
    assert list(calls.calls[0].arguments) == ["z", "a"]
    assert calls.calls[0].id.startswith("call_")


def test_arguments_as_text_are_read_too():
    line = decoded(
        wire.LINE,
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{\\"a\\":1}"}}]}}',
        "the server",
    )
    [calls] = wire.chunks_of(line)
    assert isinstance(calls, CallsDelta)
    assert calls.calls[0].arguments == {"a": 1}


@pytest.mark.parametrize("raw", [b"<html>", b"null", b'{"message":"x"}', b'{"done":"yes"}'])
def test_lines_of_another_shape_are_garbage(raw: bytes):
    with pytest.raises(UpstreamGarbage):
        decoded(wire.LINE, raw, "the server")
