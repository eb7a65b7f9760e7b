"""The `demo` back end: honest, quick, and good enough to try every feature with."""

import json

import jsonschema
import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.demo import WHAT_I_AM, DemoModel
from atoll.ports import ModelRequest, TextDelta
from atoll.wire.messages import Message, Options, ToolSpec
from tests.fakes.collect import ask, calls_of, collect, done_of, text_of

pytestmark = pytest.mark.anyio


def tool(name: str, description: str = "", **properties: str) -> ToolSpec:
    parts = {key: {"type": kind} for key, kind in properties.items()}
    return ToolSpec(
        name, description, {"type": "object", "properties": parts, "required": list(parts)}
    )


TOOLS = (
    tool("disk_usage", "How full the disks of this machine are", path="string"),
    tool("add_numbers", "Add two numbers", a="integer", b="number"),
    tool("time", "The time of day"),
)


async def said(text: str, **fields) -> str:
    return text_of(await collect(DemoModel(SystemClock()), ask(text, **fields)))


async def called(text: str):
    return calls_of(await collect(DemoModel(SystemClock()), ask(text, tools=TOOLS)))


@pytest.mark.parametrize("text", ["Hello!", "hi there", "", "why is the sky blue?"])
async def test_it_says_that_it_is_no_language_model(text: str):
    answer = await said(text)
    assert WHAT_I_AM in answer
    assert "not a language model" in answer


async def test_it_computes():
    assert await said("What is (3 + 4) * 2?") == "(3 + 4) * 2 = 14."


async def test_it_repeats_the_gist_and_no_more():
    answer = await said("why " * 500)
    assert answer.startswith('You said: "why why')
    assert len(answer) < 600


async def test_it_lists_its_tools():
    answer = await said("Which tools do you have?", tools=TOOLS)
    assert all(spec.name in answer for spec in TOOLS)
    assert "no tools" in await said("what tools do you have")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("please use disk_usage", "disk_usage"),
        ("what is the disk usage", "disk_usage"),
        ("how full are the disks?", "disk_usage"),
        ("which time is it", "time"),
        ("add numbers 3 and 4.5", "add_numbers"),
    ],
)
async def test_it_calls_the_tool_that_is_meant(text: str, name: str):
    assert [call.name for call in await called(text)] == [name]


@pytest.mark.parametrize("text", ["Hello!", "Tell me a story", "what is 3 + 4"])
async def test_it_calls_nothing_that_is_not_meant(text: str):
    assert await called(text) == []


async def test_arguments_are_taken_from_the_text_and_fit_their_types():
    [call] = await called("use add_numbers on 3 and 4.5")
    assert call.arguments == {"a": 3, "b": 4.5}
    [call] = await called("use disk_usage of '/home'")
    assert call.arguments == {"path": "/home"}


async def test_a_result_is_answered_with_and_not_called_again():
    messages = (
        Message(role="user", content="use disk_usage"),
        Message(role="tool", content="42 %", tool_name="disk_usage"),
    )
    request = ModelRequest(messages=messages, tools=TOOLS)
    chunks = await collect(DemoModel(SystemClock()), request)
    assert (text_of(chunks), calls_of(chunks)) == ("disk_usage says: 42 %", [])


async def test_it_streams_word_by_word():
    chunks = await collect(DemoModel(SystemClock()), ask("hello"))
    assert sum(isinstance(chunk, TextDelta) for chunk in chunks) > 10
    usage = done_of(chunks).usage
    assert min(usage.load_ns, usage.prompt_ns, usage.completion_ns, usage.prompt_tokens) > 0


async def test_max_tokens_and_stop_are_kept():
    chunks = await collect(DemoModel(SystemClock()), ask("hello", options=Options(max_tokens=2)))
    assert (text_of(chunks), done_of(chunks).reason) == ("Hello! I ", "length")
    assert await said("hello", options=Options(stop=(" am",))) == "Hello! I"


async def test_formats_are_kept():
    assert json.loads(await said("hi", format="json"))
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 5}, "n": {"type": "integer"}},
        "required": ["city", "n"],
    }
    jsonschema.validate(json.loads(await said("hi", format=schema)), schema)


async def test_a_raw_prompt_is_repeated():
    chunks = await collect(DemoModel(SystemClock()), ModelRequest(raw_prompt="once"))
    assert '"once"' in text_of(chunks)
