"""Logprobs on their way from a back end's line to the events of a turn."""

import pytest

from atoll.adapters import ollama_wire, openai_wire
from atoll.adapters.lenient_json import decoded
from atoll.adapters.openai_request import body_of
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest
from atoll.loop.runner import Runner
from atoll.ports import CallsDelta, Chunk, Done, ModelInfo, ModelRequest, TextDelta, ThinkingDelta
from atoll.wire.events import Event, Token
from atoll.wire.logprobs import Alternative, Logprob
from atoll.wire.messages import Call, Message
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.ports import USAGE, FakeClock, FakeModel, FakeTools, errand, text

HI = Logprob("Hi", -0.1, (72, 105), (Alternative("Hi", -0.1), Alternative("Yo", -2.5)))
ITEM = (
    b'{"token":"Hi","logprob":-0.1,"bytes":[72,105],"top_logprobs":'
    b'[{"token":"Hi","logprob":-0.1},{"token":"Yo","logprob":-2.5,"bytes":null}]}'
)


def line(said: bytes, alternatives: int | None) -> list[Chunk]:
    raw = b'{%s,"logprobs":[%s],"done":false}' % (said, ITEM)
    return ollama_wire.chunks_of(decoded(ollama_wire.LINE, raw, "the server"), alternatives)


def event(delta: bytes, alternatives: int | None, item: bytes = ITEM) -> list[Chunk]:
    raw = b'{"choices":[{"delta":{%s},"logprobs":{"content":[%s]}}]}' % (delta, item)
    [choice] = decoded(openai_wire.EVENT, raw, "the server").choices or []
    return openai_wire.chunks_of(choice, alternatives)


def test_ollamas_belong_to_the_text_of_their_line() -> None:
    assert line(b'"message":{"content":"Hi"}', 2) == [TextDelta("Hi", (HI,))]
    assert line(b'"response":"Hi"', 2) == [TextDelta("Hi", (HI,))]
    assert line(b'"message":{"content":"","thinking":"Hi"}', 2) == [ThinkingDelta("Hi", (HI,))]
    assert line(b'"message":{"content":""}', 2) == [TextDelta("", (HI,))]


def test_openais_belong_to_the_delta_of_their_choice() -> None:
    assert event(b'"content":"Hi"', 2) == [TextDelta("Hi", (HI,))]
    assert event(b'"reasoning_content":"Hi"', 2) == [ThinkingDelta("Hi", (HI,))]


def test_no_more_alternatives_than_were_asked_for() -> None:
    for read in (line(b'"response":"Hi"', 0), event(b'"content":"Hi"', 0)):
        assert read == [TextDelta("Hi", (Logprob("Hi", -0.1, (72, 105)),))]


def test_nobody_gets_what_nobody_asked_for() -> None:
    assert line(b'"response":"Hi"', None) == [TextDelta("Hi")]
    assert event(b'"content":"Hi"', None) == [TextDelta("Hi")]


def test_a_null_in_place_of_the_number_is_left_out() -> None:
    assert event(b'"content":"a"', 1, b'{"token":"a","logprob":null}') == [TextDelta("a")]


def test_completions_other_shape_is_left_out() -> None:
    raw = b'{"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-0.1]}}]}'
    [choice] = decoded(openai_wire.EVENT, raw, "the server").choices or []
    assert openai_wire.chunks_of(choice, 1) == [TextDelta("a")]


def test_they_are_asked_for_in_each_servers_words() -> None:
    chat = ModelRequest(logprobs=True, top_logprobs=2)
    raw = ModelRequest(logprobs=True, top_logprobs=2, raw_prompt="x")
    wanted = {"logprobs": True, "top_logprobs": 2}
    assert wanted.items() <= ollama_wire.body_of("m", chat).items()
    assert wanted.items() <= ollama_wire.body_of("m", raw).items()
    assert wanted.items() <= body_of("m", chat, strict=True).items()
    assert body_of("m", raw, strict=False)["logprobs"] == 2
    alone = body_of("m", ModelRequest(logprobs=True), strict=True)
    assert (alone["logprobs"], "top_logprobs" in alone) == (True, False)


def test_alternatives_alone_ask_for_nothing() -> None:
    request = ModelRequest(top_logprobs=2)
    for body in (ollama_wire.body_of("m", request), body_of("m", request, strict=False)):
        assert not {"logprobs", "top_logprobs"} & body.keys()


async def turn(model: FakeModel, tools: FakeTools, info: ModelInfo) -> list[Event]:
    asked = TurnRequest(
        model="otto",
        messages=(Message(role="user", content="hello"),),
        logprobs=True,
        top_logprobs=2,
    )
    manifest = Manifest(agent=AgentTable(name="Otto"))
    clock = FakeClock()
    runner = Runner(manifest, info, model, tools, clock, asked, errand(manifest, clock))
    return await told_by(runner.run)


NATIVE = ModelInfo(backend="scripted", model="m", capabilities=("completion", "tools"))


@pytest.mark.anyio
async def test_text_that_was_held_back_keeps_its_logprobs() -> None:
    brace = Logprob("{", -0.2)
    reply: list[Chunk] = [
        TextDelta("{", (brace,)),
        TextDelta("Hi", (HI,)),
        Done("stop", USAGE),
    ]
    events = await turn(FakeModel(reply), FakeTools(clock="12"), NATIVE)
    assert [e for e in events if isinstance(e, Token)] == [Token("{Hi", (brace, HI))]


@pytest.mark.anyio
async def test_a_call_of_the_agents_own_tool_shows_no_logprobs() -> None:
    called: list[Chunk] = [
        TextDelta("", (HI,)),
        CallsDelta((Call("call_1", "clock", {}),)),
        Done("stop", USAGE),
    ]
    model = FakeModel(called, text("noon"))
    events = await turn(model, FakeTools(clock="12"), NATIVE)
    assert [e for e in events if isinstance(e, Token)] == [Token("noon")]


@pytest.mark.anyio
async def test_only_what_the_client_sees_is_asked_for_with_logprobs() -> None:
    plain = ModelInfo(backend="scripted", model="m")
    model = FakeModel(text('{"action":"answer"}'), text("noon"))
    await turn(model, FakeTools(clock="12"), plain)
    assert [(r.logprobs, r.top_logprobs) for r in model.requests] == [(False, 2), (True, 2)]
