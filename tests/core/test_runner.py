"""Turns run by the runner over fake ports: the events a client can count on."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Budget, Llm, Loop, Manifest
from atoll.errors import UpstreamRefused
from atoll.loop.runner import Runner
from atoll.ports import (
    CallsDelta,
    Chunk,
    Done,
    ModelInfo,
    ModelRequest,
    Outcome,
    TextDelta,
    ThinkingDelta,
)
from atoll.wire.events import (
    Event,
    Failure,
    Planning,
    Reasoning,
    RunEnd,
    RunStart,
    StepStart,
    Token,
    ToolCall,
    ToolResult,
    Warning,
)
from atoll.wire.messages import Call, Message, Options, ToolSpec
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.ports import USAGE, FakeClock, FakeModel, FakeTools, errand, text

pytestmark = pytest.mark.anyio

NATIVE = ModelInfo(backend="ollama", model="m", capabilities=("completion", "tools"))
MANIFEST = Manifest(agent=AgentTable(name="Otto"), llm=Llm(system_prompt="You are Otto."))
CALL = Call("call_1", "weather", {"town": "Turku"})
HELLO = (Message(role="user", content="hello"),)


async def run(
    model: FakeModel,
    tools: FakeTools | None = None,
    request: TurnRequest | None = None,
    clock: FakeClock | None = None,
    manifest: Manifest = MANIFEST,
) -> list[Event]:
    request = request or TurnRequest(model="otto", messages=HELLO)
    clock, tools = clock or FakeClock(), tools or FakeTools()
    given = errand(manifest, clock)
    runner = Runner(manifest, model.info, model, tools, clock, request, given)
    return await told_by(runner.run)


def tokens(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Token)]


async def test_what_is_wrong_with_the_tools_is_told_when_the_turn_begins() -> None:
    tools = FakeTools()
    tools.troubles = ("MCP server a does not work: it ended",)
    events = await run(FakeModel(text("Hello")), tools)
    assert isinstance(events[0], RunStart)
    assert events[1:3] == [Warning("MCP server a does not work: it ended"), StepStart(0)]


async def test_a_turn_starts_steps_speaks_and_ends() -> None:
    events = await run(FakeModel(text("Hel", "lo")))
    assert isinstance(events[0], RunStart)
    assert events[0].prompt == "hello"
    assert events[1:4] == [StepStart(0), Token("Hel"), Token("lo")]
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.reason, end.usage, end.steps) == ("Hello", "stop", USAGE, 1)
    assert end.total_ns > 0


async def test_the_manifests_prompt_and_every_message_reach_the_model() -> None:
    model = FakeModel(text("ok"))
    asked = (*HELLO, Message(role="assistant", content="hi"), Message(role="user", content="?"))
    options = Options(temperature=0.5)
    await run(model, request=TurnRequest(model="otto", messages=asked, options=options))
    assert model.requests[0].messages == (
        Message(role="system", content="You are Otto."),
        *asked,
    )
    assert model.requests[0].options == options


async def test_a_raw_prompt_is_sent_alone() -> None:
    model = FakeModel(text("ok"))
    await run(model, FakeTools(weather="rain"), TurnRequest(model="otto", raw_prompt="<s>hi"))
    assert model.requests[0].raw_prompt == "<s>hi"
    assert model.requests[0].messages == ()
    assert model.requests[0].tools == ()


async def test_an_agents_tool_runs_inside_the_turn() -> None:
    model = FakeModel([CallsDelta((CALL,)), Done("stop", USAGE)], text("it rains"), info=NATIVE)
    events = await run(model, FakeTools(weather="rain"))
    assert ToolCall("call_1", "weather", {"town": "Turku"}) in events
    assert ToolResult("call_1", "weather", "rain") in events
    assert tokens(events) == ["it rains"]
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert end.usage == USAGE + USAGE
    assert end.steps == 2


async def test_a_clients_tool_call_is_handed_over_at_the_end() -> None:
    model = FakeModel([CallsDelta((CALL,)), Done("stop", USAGE)], info=NATIVE)
    tool = ToolSpec("weather", "", {"type": "object"})
    request = TurnRequest(model="otto", messages=HELLO, client_tools=(tool,))
    events = await run(model, request=request)
    assert events[-2] == ToolCall("call_1", "weather", {"town": "Turku"}, "client")
    assert isinstance(events[-1], RunEnd)


async def test_a_clients_tool_with_the_name_of_an_agents_is_refused() -> None:
    tool = ToolSpec("weather", "", {"type": "object"})
    request = TurnRequest(model="otto", messages=HELLO, client_tools=(tool,))
    events = await run(FakeModel(), FakeTools(weather="rain"), request)
    assert isinstance(events[-1], Failure)
    assert (events[-1].status, events[-1].who) == (400, "client")


async def test_a_call_written_as_text_is_never_shown() -> None:
    written = text('{"name":', '"weather","arguments":{}}')
    model = FakeModel(written, text("it rains"), info=NATIVE)
    events = await run(model, FakeTools(weather="rain"))
    assert tokens(events) == ["it rains"]


async def test_text_that_only_looked_like_a_call_is_shown_in_the_end() -> None:
    model = FakeModel(text("{", '"a":1}'), info=NATIVE)
    events = await run(model, FakeTools(weather="rain"))
    assert tokens(events) == ['{"a":1}']


async def test_what_a_model_says_before_a_native_call_is_shown() -> None:
    reply = [TextDelta("[note] looking"), CallsDelta((CALL,)), Done("stop", USAGE)]
    tool = ToolSpec("weather", "", {"type": "object"})
    request = TurnRequest(model="otto", messages=HELLO, client_tools=(tool,))
    events = await run(FakeModel(reply, info=NATIVE), request=request)
    assert tokens(events) == ["[note] looking"]
    assert isinstance(events[-2], ToolCall)


async def test_a_decision_is_never_shown() -> None:
    model = FakeModel(text('{"name":"answer","arguments":{}}'), text("hello"))
    events = await run(model, FakeTools(weather="rain"))
    assert tokens(events) == ["hello"]


async def test_thinking_comes_as_reasoning() -> None:
    model = FakeModel([ThinkingDelta("hm"), TextDelta("ok"), Done("stop", USAGE)])
    events = await run(model)
    assert Reasoning("hm") in events
    assert tokens(events) == ["ok"]


async def test_an_upstream_error_ends_the_turn_with_who_failed() -> None:
    events = await run(FakeModel(UpstreamRefused("nobody there")))
    assert events[-1] == Failure("upstream_refused", "nobody there", "upstream", 502)


async def test_a_bug_ends_the_turn_without_a_traceback_for_the_client(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events = await run(FakeModel())
    assert events[-1] == Failure("internal", "the agent failed: IndexError", "atoll", 500)
    assert "Traceback" in capsys.readouterr().err


async def test_cancelling_the_turn_early_cancels_the_model() -> None:
    model = FakeModel(text("a", "b", "c"))
    runner = Runner(
        MANIFEST,
        model.info,
        model,
        FakeTools(),
        FakeClock(),
        TurnRequest(model="otto", messages=HELLO),
        errand(MANIFEST, FakeClock()),
    )
    said = asyncio.Event()

    async def emit(event: Event) -> None:
        if isinstance(event, Token):
            said.set()
            await asyncio.Event().wait()

    turn = asyncio.create_task(runner.run(emit))
    await said.wait()
    turn.cancel()
    await asyncio.wait({turn}, timeout=10)
    assert turn.cancelled()
    assert model.closed_early == 1


async def test_durations_are_measured_where_the_back_end_has_none() -> None:
    model = FakeModel([TextDelta("x"), Done("stop", USAGE.__class__(prompt_tokens=1))])
    end = (await run(model))[-1]
    assert isinstance(end, RunEnd)
    assert end.usage.prompt_ns > 0
    assert end.usage.completion_ns > 0


def with_budget(**limits: float) -> Manifest:
    budget = msgspec.convert(limits, Budget)
    return msgspec.structs.replace(MANIFEST, budget=budget)


def calls(*ids: str) -> list[Chunk]:
    made = tuple(Call(one, "weather", {"town": one}) for one in ids)
    return [CallsDelta(made), Done("stop", USAGE)]


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (with_budget(calls_per_turn=3), "more than its 3 calls of tools"),
        (with_budget(tokens_per_turn=19), "more than its 19 tokens"),
    ],
)
async def test_a_turn_over_its_budget_ends_with_the_limit_and_its_key(
    manifest: Manifest, told: str
) -> None:
    """USAGE is 10 tokens a call of the model."""
    model = FakeModel(calls("a", "b"), calls("c", "d"), text("never"), info=NATIVE)
    events = await run(model, FakeTools(weather="sun"), manifest=manifest)
    end = events[-1]
    assert isinstance(end, Failure)
    assert (end.code, end.status) == ("budget_spent", 422)
    assert told in end.message
    assert "[budget]" in end.message
    assert len(model.requests) == 2


async def test_an_answer_is_no_longer_than_what_is_left_of_the_tokens() -> None:
    model = FakeModel(calls("a"), text("done"), info=NATIVE)
    manifest = with_budget(tokens_per_turn=50)
    asked = TurnRequest(model="otto", messages=HELLO, options=Options(max_tokens=45))
    events = await run(model, FakeTools(weather="sun"), asked, manifest=manifest)
    assert isinstance(events[-1], RunEnd)
    assert [request.options.max_tokens for request in model.requests] == [45, 40]


async def test_a_turn_that_takes_too_long_is_ended_while_it_speaks() -> None:
    clock = FakeClock()

    class Slow(FakeModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
            async for chunk in super().stream(request):
                clock.ns += 2_000_000_000
                yield chunk

    model = Slow(text("one ", "two ", "three "))
    events = await run(model, clock=clock, manifest=with_budget(seconds_per_turn=3))
    assert tokens(events) == ["one ", "two "]
    end = events[-1]
    assert isinstance(end, Failure)
    assert "more than its 3 seconds" in end.message


async def test_a_plan_is_an_event_and_no_part_of_the_answer() -> None:
    manifest = msgspec.structs.replace(MANIFEST, loop=Loop(planning_interval=1))
    model = FakeModel(text("look"), calls("a"), text("done"), text("it is sunny"), info=NATIVE)
    events = await run(model, FakeTools(weather="sun"), manifest=manifest)
    plans = [event for event in events if isinstance(event, Planning)]
    assert plans == [Planning("look"), Planning("look", "done")]
    assert tokens(events) == ["it is sunny"]
    assert [event.step_index for event in events if isinstance(event, StepStart)] == [0, 1]


class Submitting(FakeTools):
    """A tool whose outcome is the turn's answer."""

    async def call(self, call: Call) -> Outcome:
        return Outcome("told", final="It rains.")


async def test_a_final_answer_of_a_tool_reaches_the_client_as_text_and_as_the_end() -> None:
    called: list[Chunk] = [CallsDelta((CALL,)), Done("stop", USAGE)]
    events = await run(FakeModel(called, info=NATIVE), Submitting(weather=""))
    assert tokens(events) == ["It rains."]
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.completed, end.steps) == ("It rains.", True, 1)
