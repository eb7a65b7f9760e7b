"""The `scripted` back end says what its file says, and a wrong file is told with its place."""

import time
from pathlib import Path

import pytest

from atoll.adapters.clock import SystemClock
from atoll.adapters.script import DEFAULT, load_script
from atoll.adapters.scripted import ScriptedModel
from atoll.errors import ConfigError, UpstreamError
from atoll.ports import ModelRequest, TextDelta
from atoll.wire.messages import Message
from tests.fakes.collect import ask, calls_of, collect, done_of, text_of, thinking_of

pytestmark = pytest.mark.anyio


def scripted(folder: Path, script: str) -> ScriptedModel:
    (folder / "script.toml").write_text(script)
    return ScriptedModel(load_script(folder, "script.toml"), "scripted", SystemClock())


async def said(model: ScriptedModel, question: str = "hi") -> str:
    return text_of(await collect(model, ask(question)))


async def test_turns_come_one_after_the_other_and_then_from_the_beginning(tmp_path: Path):
    model = scripted(tmp_path, '[[turn]]\ntext = "one"\n[[turn]]\ntext = "two"\n')
    assert [await said(model) for _ in range(3)] == ["one", "two", "one"]


async def test_text_is_one_chunk_per_word_and_chunks_are_as_given(tmp_path: Path):
    model = scripted(tmp_path, '[[turn]]\ntext = "a b  c"\n[[turn]]\nchunks = ["He", "", "llo"]\n')
    for pieces in (["a ", "b  ", "c"], ["He", "", "llo"]):
        chunks = await collect(model, ask())
        assert [chunk.text for chunk in chunks if isinstance(chunk, TextDelta)] == pieces


async def test_the_first_match_wins_and_its_group_goes_round(tmp_path: Path):
    model = scripted(
        tmp_path,
        '[[turn]]\nmatch = "weather"\n[[turn.call]]\nname = "w"\narguments = { city = "Turku" }\n'
        '[[turn]]\nmatch = "weather"\ntext = "sunny"\n'
        '[[turn]]\nmatch = "/^h.llo$/"\ntext = "pattern"\n'
        '[[turn]]\ntext = "else"\n',
    )
    first = calls_of(await collect(model, ask("the weather?")))
    assert [(call.name, call.arguments) for call in first] == [("w", {"city": "Turku"})]
    assert await said(model, "the weather?") == "sunny"
    assert [await said(model, text) for text in ("hello", "hallo", "hello you")] == [
        "pattern",
        "pattern",
        "else",
    ]


async def test_the_last_user_message_counts_after_a_tool_result(tmp_path: Path):
    model = scripted(tmp_path, '[[turn]]\nmatch = "ask"\ntext = "yes"\n[[turn]]\ntext = "no"\n')
    messages = (Message(role="user", content="ask"), Message(role="tool", content="no match"))
    assert text_of(await collect(model, ModelRequest(messages=messages))) == "yes"


async def test_no_fitting_turn_is_an_error(tmp_path: Path):
    model = scripted(tmp_path, '[[turn]]\nmatch = "x"\ntext = "y"\n')
    with pytest.raises(UpstreamError, match="no turn for 'hi'"):
        await said(model)


async def test_an_error_comes_after_the_chunks_it_says(tmp_path: Path):
    model = scripted(
        tmp_path, '[[turn]]\nchunks = ["a", "b", "c"]\nafter = 2\nerror = "fell over"\n'
    )
    chunks = model.stream(ask())
    assert [await anext(chunks) for _ in range(2)] == [TextDelta("a"), TextDelta("b")]
    with pytest.raises(UpstreamError, match="fell over"):
        await anext(chunks)


async def test_delay_thinking_and_reason(tmp_path: Path):
    model = scripted(
        tmp_path,
        '[[turn]]\nthinking = "hm"\nchunks = ["a", "b"]\ndelay = 0.1\nreason = "length"\n',
    )
    began = time.monotonic()
    chunks = await collect(model, ask())
    assert time.monotonic() - began >= 0.3
    assert (thinking_of(chunks), done_of(chunks).reason) == ("hm", "length")


async def test_ids_count_up_so_that_nothing_is_random(tmp_path: Path):
    model = scripted(tmp_path, '[[turn]]\ncall = [{ name = "a" }, { name = "b", id = "mine" }]\n')
    ids = [call.id for _ in range(2) for call in calls_of(await collect(model, ask()))]
    assert ids == ["call_00000001", "mine", "call_00000002", "mine"]


async def test_capabilities_are_what_the_script_claims(tmp_path: Path):
    script = 'capabilities = ["completion"]\ncontext_length = 99\n[[turn]]\ntext = "a"\n'
    info = await scripted(tmp_path, script).describe()
    assert (info.capabilities, info.context_length) == (("completion",), 99)


async def test_the_default_works_without_any_file(tmp_path: Path):
    assert load_script(tmp_path, None) is DEFAULT
    model = ScriptedModel(DEFAULT, "scripted", SystemClock())
    done = done_of(await collect(model, ask()))
    assert min(done.usage.load_ns, done.usage.prompt_ns, done.usage.completion_ns) > 0


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("[[turn]\n", "script.toml:1:7: "),
        ("", "missing required field `turn`"),
        ("turn = []", "length >= 1"),
        ('[[turn]]\ntxt = "a"\n', "unknown field `txt`"),
        ('[[turn]]\ndelay = "slow"\n', "turn[0].delay"),
        ("[[turn]]\ndelay = -1\n", "turn[0].delay"),
        ('[[turn]]\ntext = "a"\nchunks = ["b"]\n', "turn 1: has both text and chunks"),
        ("[[turn]]\nafter = 1\n", "turn 1: has `after` without `error`"),
        ('[[turn]]\nmatch = "/(/"\n', "turn 1: match is no regular expression"),
        ('[[turn]]\nreason = "tired"\n', "turn[0].reason"),
    ],
)
def test_a_wrong_script_is_told(tmp_path: Path, script: str, message: str):
    with pytest.raises(ConfigError) as caught:
        scripted(tmp_path, script)
    assert message in str(caught.value)


async def test_a_turn_can_want_a_system_prompt_and_a_picture(tmp_path: Path):
    script = """
    [[turn]]
    text = "plain"
    [[turn]]
    system = "pirate"
    text = "arr"
    [[turn]]
    match = "hi"
    images = 1
    text = "seen"
    """
    model = scripted(tmp_path, script)
    system = Message(role="system", content="You are a pirate.")
    user, picture = (
        Message(role="user", content="hi"),
        Message(role="user", content="hi", images=("",)),
    )
    for messages, answer in (((user,), "plain"), ((system, user), "arr"), ((picture,), "seen")):
        chunks = await collect(model, ModelRequest(messages=messages))
        assert text_of(chunks) == answer
