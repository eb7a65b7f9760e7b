"""Models that misbehave: each turn ends in a clear event, and the next one works."""

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from atoll.adapters.python_tools import PythonTools, load_tools
from atoll.config.manifest import Loop
from atoll.errors import UpstreamGarbage
from atoll.loop.agent import Agent
from atoll.loop.model_call import MAX_REPLY
from atoll.ports import CallsDelta, Chunk, Done, ModelInfo, ModelRequest, TextDelta, ThinkingDelta
from atoll.wire.events import Event, Failure, RunEnd, Token, ToolCall, ToolResult, Warning
from atoll.wire.messages import Call, Message
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.serving import MANIFEST, agent_over

pytestmark = pytest.mark.anyio

NATIVE = ModelInfo(backend="ollama", model="m", capabilities=("completion", "tools"))
TOOLS = '''\
"""The weather."""


def weather(town: str) -> str:
    """The weather in a town."""
    return f"rain in {town}"
'''
HELLO = TurnRequest(model="otto", messages=(Message(role="user", content="hello"),))


def calling(*names: str) -> list[Chunk]:
    calls = tuple(Call(f"call_{at}", name, {"x": 1}) for at, name in enumerate(names))
    return [CallsDelta(calls), Done("stop", USAGE)]


def agent_of(model: FakeModel, folder: Path, max_steps: int = 20) -> Agent:
    manifest = msgspec.structs.replace(MANIFEST, loop=Loop(max_steps=max_steps))
    return agent_over(model, folder, FakeTools(look="nothing"), manifest)


async def turn(agent: Agent) -> list[Event]:
    return await told_by(partial(agent.turn, HELLO))


async def works_again(agent: Agent, model: FakeModel) -> bool:
    model.replies = [text("fine")]
    end = (await turn(agent))[-1]
    await agent.close()
    return isinstance(end, RunEnd) and end.answer == "fine" and agent.in_flight == 0


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warning)]


async def test_a_model_that_loops_is_stopped_and_answers(tmp_path: Path) -> None:
    model = FakeModel(*[calling("look")] * 4, text("I found nothing."), info=NATIVE)
    agent = agent_of(model, tmp_path)
    events = await turn(agent)
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.completed, end.steps) == ("I found nothing.", False, 5)
    assert warnings(events) == ["the model made the same calls again and again, and was stopped"]
    assert [event.result for event in events if isinstance(event, ToolResult)] == ["nothing"] * 4
    assert await works_again(agent, model)


async def test_a_model_that_loops_on_after_it_was_stopped_ends(tmp_path: Path) -> None:
    """The last answer is asked for without tools: calls in it are not heard."""
    model = FakeModel(*[calling("look")] * 5, info=NATIVE)
    agent = agent_of(model, tmp_path)
    events = await turn(agent)
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.completed) == ("", False)
    assert len([event for event in events if isinstance(event, ToolCall)]) == 4
    assert await works_again(agent, model)


async def test_an_unknown_tool_is_a_failed_result_that_the_model_can_mend(tmp_path: Path) -> None:
    model = FakeModel(calling("search"), calling("look"), text("done"), info=NATIVE)
    agent = agent_of(model, tmp_path)
    events = await turn(agent)
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [(one.name, one.failed) for one in results] == [("search", True), ("look", False)]
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.completed) == ("done", True)
    assert await works_again(agent, model)


async def test_a_model_that_knows_unknown_tools_only_is_stopped(tmp_path: Path) -> None:
    model = FakeModel(*[calling("search")] * 4, text("sorry"), info=NATIVE)
    agent = agent_of(model, tmp_path)
    end = (await turn(agent))[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.completed) == ("sorry", False)
    assert await works_again(agent, model)


async def test_wrong_arguments_are_a_failed_result_that_the_model_can_mend(tmp_path: Path) -> None:
    """Of the wrong type, missing, or unknown to the tool."""
    (tmp_path / "tools.py").write_text(TOOLS)
    tools = PythonTools(load_tools(tmp_path / "tools.py"), ("*",), 5.0, 1000)
    wrong = [{"town": 5, "x": []}, {}, {"town": "Turku", "when": "now"}]
    asked = [*wrong, {"town": "Turku"}]
    replies = [
        [CallsDelta((Call(f"call_{at}", "weather", arguments),)), Done("stop", USAGE)]
        for at, arguments in enumerate(asked)
    ]
    model = FakeModel(*replies, text("rain"), info=NATIVE)
    agent = agent_over(model, tmp_path, tools)
    events = await turn(agent)
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [one.failed for one in results] == [True, True, True, False]
    assert all(one.result.startswith("wrong arguments for weather") for one in results[:3])
    assert isinstance(events[-1], RunEnd)
    assert await works_again(agent, model)


async def test_arguments_that_nobody_can_read_end_the_turn(tmp_path: Path) -> None:
    """As the back ends raise it for a call whose arguments are no JSON object."""
    broken = UpstreamGarbage("a call of look with arguments that are no JSON object: '{'")
    agent = agent_of(model := FakeModel(calling("look"), broken, info=NATIVE), tmp_path)
    end = (await turn(agent))[-1]
    assert isinstance(end, Failure)
    assert (end.code, end.who) == ("upstream_garbage", "upstream")
    assert end.usage == USAGE, "what it has cost is told"
    assert await works_again(agent, model)


@pytest.mark.parametrize("blank", ["", " \n"])
async def test_a_model_that_says_nothing_is_told_of(tmp_path: Path, blank: str) -> None:
    agent = agent_over(model := FakeModel(text(blank)), tmp_path)
    events = await turn(agent)
    assert isinstance(events[-1], RunEnd)
    assert warnings(events) == ["the answer is empty: the model said nothing"]
    assert await works_again(agent, model)


async def test_a_model_that_says_nothing_after_its_tools_is_asked_once_more(
    tmp_path: Path,
) -> None:
    model = FakeModel(calling("look"), text(""), text("nothing there"), info=NATIVE)
    agent = agent_of(model, tmp_path)
    events = await turn(agent)
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert (end.answer, end.completed, warnings(events)) == ("nothing there", True, [])
    assert model.requests[-1].tools == ()
    assert await works_again(agent, model)


async def test_a_model_that_thinks_until_its_tokens_are_gone_is_told_of(tmp_path: Path) -> None:
    thought: list[Chunk] = [ThinkingDelta("hm " * 9), Done("length", USAGE)]
    agent = agent_over(model := FakeModel(thought), tmp_path)
    assert ["reached its limit of tokens" in one for one in warnings(await turn(agent))] == [True]
    assert await works_again(agent, model)


class Endless(FakeModel):
    """Says, or thinks, without an end, until its replies are given."""

    def __init__(self, chunk: Chunk) -> None:
        super().__init__()
        self.chunk = chunk
        self.stopped = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        if self.replies:
            async for chunk in super().stream(request):
                yield chunk
            return
        try:
            while True:
                yield self.chunk
        finally:
            self.stopped += 1


@pytest.mark.parametrize("chunk", [TextDelta("x" * 100_000), ThinkingDelta("x" * 100_000)])
async def test_a_model_that_never_stops_is_stopped(
    tmp_path: Path, chunk: TextDelta | ThinkingDelta
) -> None:
    agent = agent_over(model := Endless(chunk), tmp_path)
    events = await turn(agent)
    end = events[-1]
    assert isinstance(end, Failure)
    assert (end.who, end.status) == ("upstream", 502)
    assert "the model does not stop" in end.message
    assert sum(len(event.text) for event in events if isinstance(event, Token)) <= MAX_REPLY
    assert model.stopped == 1, "it does not go on for nobody"
    assert await works_again(agent, model)
