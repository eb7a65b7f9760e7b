"""The tool execute_code: what the model reads, how long a namespace lasts, an agent with it."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from atoll.adapters.python_tools import PythonTools, load_tools
from atoll.adapters.sandbox.asking import ModelHost
from atoll.adapters.sandbox.opening import open_code_tools
from atoll.adapters.sandbox.tool import MOST_KEPT, NAME, CodeTools
from atoll.config.load import load_manifest
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest, Tools
from atoll.config.places import places_of
from atoll.errors import AgentError, Busy
from atoll.loop.opening import open_agent
from atoll.ports import CodeHost, CodeOutcome, Outcome
from atoll.wire.events import RunEnd, ToolResult
from atoll.wire.messages import Call, Message, Options, Usage
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.ports import USAGE, FakeModel, FakeTools, text
from tests.fakes.sandbox import EchoHost, needs_sandbox

pytestmark = pytest.mark.anyio


class FakeSpace:
    """Answers each piece of code with the next of the engine's outcomes."""

    def __init__(self, engine: "FakeEngine") -> None:
        self.engine = engine
        self.ran: list[str] = []
        self.closed = asyncio.Event()

    async def run(self, code: str, host: CodeHost) -> CodeOutcome:
        self.ran.append(code)
        return self.engine.outcomes.pop(0) if self.engine.outcomes else CodeOutcome(value="1")

    def interrupt(self) -> None:
        raise AssertionError("nobody asked for it")

    async def close(self) -> None:
        self.closed.set()


class FakeEngine:
    """An engine that remembers the spaces it opened."""

    name = "fake"
    language = "It is a fake."
    unenforced: Sequence[str] = ()

    def __init__(self, *outcomes: CodeOutcome) -> None:
        self.outcomes = list(outcomes)
        self.spaces: list[FakeSpace] = []
        self.refuses = 0
        self.closed = False

    async def open(self) -> FakeSpace:
        if self.refuses:
            self.refuses -= 1
            raise AgentError("no more of them")
        self.spaces.append(FakeSpace(self))
        return self.spaces[-1]

    async def close(self) -> None:
        self.closed = True


def tools_over(engine: FakeEngine, rest: float = 60.0, most: int = 1000) -> CodeTools:
    return CodeTools(engine, lambda _: EchoHost(), rest, most)


def unspent(_usage: Usage) -> None:
    """Nobody counts."""


def code(source: object) -> Call:
    return Call("c1", NAME, {"code": source})


async def told(engine: FakeEngine, call: Call, session: str = "", most: int = 1000) -> Outcome:
    tools = tools_over(engine, most=most)
    async with tools.turn(FakeTools(weather="sunny"), session, unspent) as box:
        outcome = await box.call(call)
    await tools.close()
    return outcome


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (CodeOutcome(output="a\n", value="2"), Outcome("a\n2")),
        (CodeOutcome(), Outcome("(no output)")),
        (CodeOutcome(output="a\n", error="E: x"), Outcome("a\nE: x", failed=True)),
        (
            CodeOutcome(error="it ended", lost=True),
            Outcome("it ended\nAll variables are lost; the next code starts anew.", failed=True),
        ),
        (CodeOutcome(output="a\n", submitted="42"), Outcome("42", final="42")),
        (CodeOutcome(submitted=""), Outcome("", final="")),
        (CodeOutcome(value="x" * 1003), Outcome("x" * 1000 + "\n[cut: 3 characters more]")),
    ],
)
async def test_what_the_model_reads(outcome: CodeOutcome, expected: Outcome) -> None:
    assert await told(FakeEngine(outcome), code("1")) == expected


@pytest.mark.parametrize("arguments", [{}, {"code": 1}, {"code": "1", "more": 2}, {"x": "1"}])
async def test_wrong_arguments_are_told_and_open_nothing(arguments: dict[str, object]) -> None:
    engine = FakeEngine()
    outcome = await told(engine, Call("c1", NAME, arguments))
    assert outcome == Outcome("execute_code takes one argument: code, a string", failed=True)
    assert engine.spaces == []


async def test_the_agents_other_tools_are_beside_it() -> None:
    tools = tools_over(FakeEngine())
    async with tools.turn(FakeTools(weather="sunny"), "", unspent) as box:
        assert [spec.name for spec in box.specs] == ["weather", NAME]
        assert "It is a fake." in box.specs[-1].description
        assert await box.call(Call("c", "weather", {})) == Outcome("sunny")
    await tools.close()


async def test_without_a_session_a_namespace_lasts_for_the_turn() -> None:
    engine = FakeEngine()
    tools = tools_over(engine)
    for _ in range(2):
        async with tools.turn(FakeTools(), "", unspent) as box:
            await asyncio.gather(box.call(code("1")), box.call(code("2")))
    async with asyncio.timeout(5):
        for space in engine.spaces:
            await space.closed.wait()
    assert [sorted(space.ran) for space in engine.spaces] == [["1", "2"], ["1", "2"]]
    await tools.close()


async def test_turns_of_one_session_share_a_namespace_and_others_do_not() -> None:
    engine = FakeEngine()
    tools = tools_over(engine)
    for session in ("a", "b", "a"):
        async with tools.turn(FakeTools(), session, unspent) as box:
            await box.call(code(session))
    assert [space.ran for space in engine.spaces] == [["a", "a"], ["b"]]
    await tools.close()
    assert all(space.closed.is_set() for space in engine.spaces)
    assert engine.closed


async def test_a_session_at_rest_loses_its_namespace_after_the_time() -> None:
    engine = FakeEngine()
    tools = tools_over(engine, rest=0.01)
    async with tools.turn(FakeTools(), "a", unspent) as box:
        await box.call(code("1"))
    async with asyncio.timeout(5):
        await engine.spaces[0].closed.wait()
    async with tools.turn(FakeTools(), "a", unspent) as box:
        await box.call(code("2"))
    assert len(engine.spaces) == 2
    await tools.close()


async def test_of_too_many_namespaces_the_one_that_rests_longest_goes() -> None:
    engine = FakeEngine()
    tools = tools_over(engine)
    for number in range(MOST_KEPT + 1):
        async with tools.turn(FakeTools(), f"s{number}", unspent) as box:
            await box.call(code("1"))
    async with asyncio.timeout(5):
        await engine.spaces[0].closed.wait()
    assert not any(space.closed.is_set() for space in engine.spaces[1:])
    await tools.close()


async def test_a_sandbox_that_cannot_be_opened_is_told_and_tried_again() -> None:
    engine = FakeEngine()
    engine.refuses = 1
    tools = tools_over(engine)
    async with tools.turn(FakeTools(), "a", unspent) as box:
        refused = await box.call(code("1"))
        assert refused == Outcome("execute_code failed: no more of them", failed=True)
        assert await box.call(code("1")) == Outcome("1")
    await tools.close()


async def test_the_model_is_asked_with_the_prompt_alone_up_to_the_budget() -> None:
    model = FakeModel(text("o", "ne"), text("two"))
    spent: list[Usage] = []
    host = ModelHost(model, Options(temperature=0.5), 2, spent.append)
    assert await host.ask(["a", "b"]) == ["one", "two"]
    assert spent == [USAGE, USAGE], "what they cost counts for the turn"
    assert [request.messages for request in model.requests] == [
        (Message(role="user", content="a"),),
        (Message(role="user", content="b"),),
    ]
    assert model.requests[0].options == Options(temperature=0.5)
    with pytest.raises(Busy, match="1 prompts to the model, and 0 of this turn's 2 are left"):
        await host.ask(["c"])


def manifest(**tools: object) -> Manifest:
    return Manifest(agent=AgentTable(name="Coder"), tools=Tools(**tools))


@pytest.mark.parametrize("tools", [{}, {"execute_code": True, "allow": ("weather",)}])
async def test_a_tool_that_is_not_asked_for_or_not_allowed_does_not_exist(
    tools: dict[str, object],
) -> None:
    said: list[str] = []
    made = await open_code_tools(manifest(**tools), FakeModel(), FakeTools(), said.append)
    assert (made, said) == (None, [])


async def test_a_tool_of_the_agent_with_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("def execute_code(code: str) -> str:\n    return code\n")
    own = PythonTools(load_tools(tmp_path / "tools.py"), ("*",), 1.0, 1000)
    with pytest.raises(AgentError, match="execute_code\\(\\) is the built-in tool's name"):
        await open_code_tools(manifest(execute_code=True), FakeModel(), own, print)


async def test_without_a_sandbox_the_reason_is_told_and_the_tool_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atoll.adapters.sandbox.bubblewrap.shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("atoll.adapters.sandbox.choosing.find_spec", lambda _: None)
    said: list[str] = []
    made = await open_code_tools(manifest(execute_code=True), FakeModel(), FakeTools(), said.append)
    assert made is None
    reason = "bubblewrap is not installed: apt install bubblewrap"
    instead = "or pip install 'atoll[monty]' for a subset of Python"
    assert said == [f"execute_code is refused: {reason}; {instead}"]


def test_an_agent_without_it_carries_nothing_of_the_sandbox() -> None:
    heavy = ("pydantic_monty", "atoll.adapters.sandbox.bubblewrap")
    code = f"import sys, atoll.server; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


CODER = """
[agent]
name = "Coder"
[llm]
provider = "scripted"
script = "script.toml"
[tools]
execute_code = true
"""
SCRIPT = """
capabilities = ["completion", "tools"]
[[turn]]
match = "add"
[[turn.call]]
name = "execute_code"
arguments = { code = "x = llm_query('a number')" }
[[turn]]
match = "add"
[[turn.call]]
name = "execute_code"
arguments = { code = "SUBMIT(f'{int(x) + 1} it is')" }
[[turn]]
match = "a number"
text = "41"
"""


@needs_sandbox
async def test_an_agent_solves_a_task_with_code_and_submits_the_answer(tmp_path: Path) -> None:
    """Two steps in one namespace, the model asked from inside, SUBMIT as the end of the turn."""
    (tmp_path / "agent.toml").write_text(CODER)
    (tmp_path / "script.toml").write_text(SCRIPT)
    env = {"HOME": str(tmp_path)}
    said: list[str] = []
    places = places_of(env, 0, tmp_path / "state")
    agent = await open_agent(load_manifest(tmp_path / "agent.toml", env), places, env, said.append)
    request = TurnRequest(model="coder", messages=(Message(role="user", content="add"),))
    events = await told_by(partial(agent.turn, request))
    assert agent.has_tools
    await agent.close()
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [(result.result, result.failed) for result in results] == [
        ("(no output)", False),
        ("42 it is", False),
    ]
    assert isinstance(events[-1], RunEnd)
    assert events[-1].answer == "42 it is"
    assert events[-1].usage.completion_tokens == 3, "two calls of its own, and one from inside"
    assert said == ["back end: scripted scripted (named in the manifest)"]


@needs_sandbox
async def test_a_session_keeps_its_variables_from_turn_to_turn(tmp_path: Path) -> None:
    """And another session has none of them."""
    (tmp_path / "agent.toml").write_text(CODER)
    (tmp_path / "script.toml").write_text(KEEPER)
    env = {"HOME": str(tmp_path)}
    places = places_of(env, 0, tmp_path / "state")
    agent = await open_agent(load_manifest(tmp_path / "agent.toml", env), places, env, print)
    answers = []
    for question, session in (("set", "a"), ("get", "a"), ("get", "b")):
        asked = (Message(role="user", content=question),)
        request = TurnRequest(model="coder", messages=asked, session=session)
        events = await told_by(partial(agent.turn, request))
        assert isinstance(events[-1], RunEnd)
        answers.append(events[-1].answer)
    await agent.close()
    assert answers == ["5", "10", "no x"]


KEEPER = """
capabilities = ["completion", "tools"]
[[turn]]
match = "set"
[[turn.call]]
name = "execute_code"
arguments = { code = "x = 5\\nSUBMIT(x)" }
[[turn]]
match = "get"
[[turn.call]]
name = "execute_code"
arguments = { code = "SUBMIT(2 * x if 'x' in globals() else 'no x')" }
"""
