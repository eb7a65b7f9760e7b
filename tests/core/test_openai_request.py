"""What is asked of an OpenAI-compatible server."""

import re

import msgspec
import pytest

from atoll.adapters.openai_request import body_of, messages_json
from atoll.ports import ModelRequest
from atoll.wire.messages import Call, Message, Options, ToolSpec

USER = Message(role="user", content="hi")


def body(strict: bool = False, **fields):
    return body_of("m", ModelRequest(messages=(USER,), **fields), strict=strict)


def test_nothing_is_sent_that_was_not_asked_for():
    assert body() == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_every_option_is_mapped():
    options = Options(
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        max_tokens=7,
        seed=0,
        stop=("a",),
        presence_penalty=0.2,
        frequency_penalty=0.3,
        repeat_penalty=1.1,
    )
    assert (
        body(options=options).items()
        >= {
            "temperature": 0.0,
            "top_p": 0.5,
            "top_k": 3,
            "min_p": 0.1,
            "max_tokens": 7,
            "seed": 0,
            "stop": ["a"],
            "presence_penalty": 0.2,
            "frequency_penalty": 0.3,
            "repeat_penalty": 1.1,
            "repetition_penalty": 1.1,
        }.items()
    )


def test_openai_itself_gets_only_fields_it_knows():
    made = body(strict=True, options=Options(max_tokens=7, top_k=3, repeat_penalty=1.1), think=True)
    assert made["max_completion_tokens"] == 7
    assert not {"max_tokens", "top_k", "repeat_penalty", "chat_template_kwargs"} & set(made)


def test_minus_one_means_no_limit():
    assert "max_tokens" not in body(options=Options(max_tokens=-1))


@pytest.mark.parametrize(
    ("think", "sent"),
    [
        ("low", {"reasoning_effort": "low"}),
        ("max", {"reasoning_effort": "high"}),
        (False, {"chat_template_kwargs": {"enable_thinking": False}}),
    ],
)
def test_thinking_is_mapped(think, sent):
    assert body(think=think).items() >= sent.items()


def test_formats_are_mapped():
    schema = {"type": "object"}
    assert body(format="json")["response_format"] == {"type": "json_object"}
    assert body(format=schema)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema},
    }


def test_a_raw_prompt_goes_alone():
    made = body_of("m", ModelRequest(messages=(USER,), raw_prompt="once"), strict=False)
    assert made["prompt"] == "once"
    assert "messages" not in made


def test_tools_and_calls_are_in_openais_shape():
    spec = ToolSpec("t", "does", {"type": "object"})
    assert body(tools=(spec,))["tools"][0]["function"]["name"] == "t"
    call = Call("call_1", "t", {"z": 1, "a": 2})
    sent = messages_json((Message(role="assistant", calls=(call,)),))[0]
    assert sent["content"] is None
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"z":1,"a":2}'


def test_results_without_ids_answer_their_calls_in_order():
    """Ollama's clients send only tool_name, or nothing: OpenAI's servers need the id."""
    calls = tuple(Call("", name, {}) for name in ("a", "b", "a"))
    messages = messages_json(
        (
            Message(role="assistant", calls=calls),
            Message(role="tool", content="1", tool_name="b"),
            Message(role="tool", content="2", tool_name="a"),
            Message(role="tool", content="3"),
        )
    )
    ids = {call["id"]: call["function"]["name"] for call in messages[0]["tool_calls"]}
    assert len(ids) == 3
    assert [ids[m["tool_call_id"]] for m in messages[1:]] == ["b", "a", "a"]
    assert len({m["tool_call_id"] for m in messages[1:]}) == 3


@pytest.mark.parametrize("given", ["call_a1b2c3d4", "", "x" * 99, "日本"])
def test_ids_are_such_as_every_chat_template_takes(given: str):
    """Mistral's raise for an id of another length; a call and its result keep the same one."""
    call = Call(given, "t", {})
    result = Message(role="tool", content="1", tool_name="t", call_id=given)
    asked, told = messages_json((Message(role="assistant", calls=(call,)), result))
    sent = asked["tool_calls"][0]["id"]
    assert re.fullmatch("[a-zA-Z0-9]{9}", sent)
    assert told["tool_call_id"] == sent


def test_images_become_data_urls():
    sent = messages_json((Message(role="user", content="see", images=("iVBORw0KGgo=",)),))[0]
    assert sent["content"][0] == {"type": "text", "text": "see"}
    assert sent["content"][1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_the_body_can_always_be_encoded():
    msgspec.json.encode(body(options=Options(extra={"num_ctx": 5}), format={"type": "object"}))
