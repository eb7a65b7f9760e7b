"""Sessions that outgrow their model or their budget, on an agent with a real store."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from atoll.config.manifest import Budget, Llm, Manifest, Session
from atoll.errors import AtollError, UpstreamTimeout
from atoll.loop.agent import Agent
from atoll.loop.session_turn import Asked
from atoll.ports import Chunk, Done, ModelInfo, ModelRequest, TextDelta
from atoll.wire.events import Event, Failure, RunEnd, RunStart, Warning
from atoll.wire.memory import Memory
from tests.fakes.ports import USAGE, FakeClock, FakeModel, text
from tests.fakes.serving import MANIFEST, agent_over
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

INFO = ModelInfo(backend="ollama", model="m", context_length=1000)
"""Room for 3000 characters: with the seventh question it is over."""
SUMMARY = "They counted from 0 to 3."
COMPACTED = (
    "compacted: the oldest 8 messages of the session are shown to the model as a summary"
    " from now on; all of them are kept"
)
CUT = "They counted from 0 to 1, and to 1, and to 1, and to"
TOKENS = USAGE.prompt_tokens + USAGE.completion_tokens
WINDOW_RULE = msgspec.structs.replace(MANIFEST, session=Session(compaction="window"))


class Counting(FakeModel):
    """Answers at length; writes a summary where it is asked for one, or cannot."""

    def __init__(self, summary: str | AtollError = SUMMARY, info: ModelInfo = INFO) -> None:
        super().__init__(info=info)
        self.summary = summary
        self.wishes: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        if "Write a summary" in request.messages[0].content:
            self.wishes.append(request)
            if isinstance(self.summary, AtollError):
                raise self.summary
            end = Done("length" if self.summary == CUT else "stop", USAGE)
            self.replies.append([TextDelta(self.summary), end])
        else:
            self.replies.append(text("answer ".ljust(250, ".")))
        async for chunk in super().stream(request):
            yield chunk


async def say(agent: Agent, message: str, session: str = "s") -> list[Event]:
    live = agent.conversations.begin(Asked(message=message.ljust(250, "."), session_id=session))
    await asyncio.wait_for(live.ended(), 20)
    return list(live.events)


async def talk(agent: Agent, turns: int) -> list[Event]:
    """So many turns; the events of the last one."""
    told: list[Event] = []
    for number in range(turns):
        told = await say(agent, f"number {number}")
        assert isinstance(told[-1], RunEnd), told
    return told


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warning)]


async def memory_of(agent: Agent, session: str = "s") -> Memory:
    memory = await agent.sessions.recall(session)
    assert memory is not None
    return memory


async def test_the_oldest_part_of_a_long_session_becomes_a_summary(tmp_path: Path) -> None:
    agent = agent_over(model := Counting(), tmp_path)
    events = await talk(agent, 7)
    assert len(model.wishes) == 1
    assert isinstance(events[0], RunStart)
    assert warnings(events) == [COMPACTED]
    shown = model.requests[-1].messages
    assert [message.role for message in shown] == ["system", *["user", "assistant"] * 2, "user"]
    assert SUMMARY in shown[0].content
    assert "number 3" not in str(shown)
    memory = await memory_of(agent)
    assert len(memory.messages) == 14, "every word is kept"
    assert (memory.summary.text, memory.summary.covers) == (SUMMARY, 8)
    await agent.close()


async def test_a_summary_costs_what_it_costs_and_is_not_made_each_turn(tmp_path: Path) -> None:
    agent = agent_over(model := Counting(), tmp_path)
    end = (await talk(agent, 7))[-1]
    assert isinstance(end, RunEnd)
    assert end.usage == USAGE + USAGE, "the hidden call is counted in the turn's usage"
    assert (await memory_of(agent)).tokens == 8 * TOKENS
    after = await talk(agent, 3)
    assert (len(model.wishes), warnings(after)) == (1, [])
    assert SUMMARY in model.requests[-1].messages[0].content
    await agent.close()


async def test_a_summary_survives_the_agent_and_goes_into_the_next_one(tmp_path: Path) -> None:
    agent = agent_over(Counting(), tmp_path)
    await talk(agent, 7)
    before = await memory_of(agent)
    await agent.close()
    agent = agent_over(model := Counting("A longer story."), tmp_path)
    assert await memory_of(agent) == before
    await talk(agent, 5)
    assert len(model.wishes) == 1
    assert SUMMARY in model.wishes[0].messages[1].content
    memory = await memory_of(agent)
    assert (memory.summary.text, len(memory.messages)) == ("A longer story.", 24)
    assert memory.summary.covers > 8
    await agent.close()


async def test_the_agents_own_prompt_comes_before_the_summary(tmp_path: Path) -> None:
    """And takes its part of the room, so that a session is compacted the earlier."""
    manifest = msgspec.structs.replace(MANIFEST, llm=Llm(system_prompt="You are Otto." * 100))
    agent = agent_over(model := Counting(), tmp_path, manifest=manifest)
    await talk(agent, 4)
    assert len(model.wishes) == 1
    system = model.requests[-1].messages[0].content
    assert system.startswith("You are Otto.")
    assert system.index(SUMMARY) > 1000
    await agent.close()


@pytest.mark.parametrize("summary", [UpstreamTimeout("too slow"), "", CUT, "long " * 999])
async def test_where_the_model_cannot_the_window_holds_and_says_so(
    tmp_path: Path, summary: str | AtollError
) -> None:
    agent = agent_over(model := Counting(summary), tmp_path)
    told = warnings(await talk(agent, 7))
    assert ["oldest 2 messages are not shown" in one for one in told] == [True]
    await talk(agent, 5)
    assert len(model.wishes) == 1, "it is not asked on every turn"
    model.summary = SUMMARY
    told = warnings(await talk(agent, 1))
    assert ["compacted" in one for one in told][:1] == [True]
    assert len((await memory_of(agent)).messages) == 26
    await agent.close()


async def test_the_rule_window_never_asks_for_a_summary(tmp_path: Path) -> None:
    agent = agent_over(model := Counting(), tmp_path, manifest=WINDOW_RULE)
    told = warnings(await talk(agent, 7))
    assert ["oldest 2 messages are not shown" in one for one in told] == [True]
    assert model.wishes == []
    await agent.close()


@pytest.mark.parametrize(
    "info",
    [
        ModelInfo(backend="ollama", model="m", context_length=0),
        ModelInfo(backend="demo", model="demo", context_length=1000),
    ],
)
async def test_an_unknown_context_or_a_model_of_rules_asks_for_none(
    tmp_path: Path, info: ModelInfo
) -> None:
    agent = agent_over(model := Counting(info=info), tmp_path)
    await talk(agent, 8)
    assert model.wishes == []
    assert len((await memory_of(agent)).messages) == 16
    await agent.close()


def limited(tokens: int) -> Manifest:
    return msgspec.structs.replace(MANIFEST, budget=Budget(tokens_per_session=tokens))


async def test_a_session_that_has_used_its_tokens_ends_and_others_go_on(tmp_path: Path) -> None:
    agent = agent_over(model := Counting(), tmp_path, manifest=limited(25))
    await talk(agent, 3)
    assert [request.options.max_tokens for request in model.requests] == [25, 15, 5]
    [end] = await say(agent, "one more")
    assert isinstance(end, Failure)
    assert (end.code, end.status) == ("budget_spent", 422)
    assert "used its 25 tokens" in end.message
    assert "[budget] tokens_per_session" in end.message
    assert len(model.requests) == 3, "the model is not asked"
    assert isinstance((await say(agent, "hi", "other"))[-1], RunEnd)
    await agent.close()


async def test_what_a_session_has_used_survives_the_agent(tmp_path: Path) -> None:
    agent = agent_over(Counting(), tmp_path, manifest=limited(25))
    await talk(agent, 2)
    await agent.close()
    agent = agent_over(model := Counting(), tmp_path, manifest=limited(25))
    await talk(agent, 1)
    assert model.requests[0].options.max_tokens == 5
    assert isinstance((await say(agent, "one more"))[-1], Failure)
    assert len((await memory_of(agent)).messages) == 6, "it can still be read"
    await agent.close()


async def test_a_turn_that_fails_costs_what_it_read(tmp_path: Path) -> None:
    """Its back end tells no figures: a token is four characters."""
    agent = agent_over(Counting(), tmp_path)
    await talk(agent, 1)
    await agent.close()
    agent = agent_over(FakeModel(UpstreamTimeout("too slow"), info=INFO), tmp_path)
    assert isinstance((await say(agent, "again"))[-1], Failure)
    memory = await memory_of(agent)
    assert (len(memory.messages), memory.tokens) == (2, TOKENS + 750 // 4)
    await agent.close()


async def test_a_turn_that_is_cut_off_costs_what_it_read_and_said(tmp_path: Path) -> None:
    class Gated(FakeModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
            yield TextDelta("word" * 10)
            await asyncio.Event().wait()
            yield Done("stop", USAGE)

    agent = agent_over(Gated(), tmp_path)
    live = agent.conversations.begin(Asked(message="x" * 400, session_id="s"))
    await until(lambda: len(live.events) == 3)
    live.cancel()
    await live.ended()
    memory = await memory_of(agent)
    assert (len(memory.messages), memory.tokens) == (2, 110)
    await agent.close()


async def shown_of(agent: Agent, model: FakeModel, message: str) -> list[str]:
    """What the model was shown when that was said."""
    await say(agent, message)
    return [one.content.rstrip(".") for one in model.requests[-1].messages]


async def test_a_session_is_known_up_to_the_last_moment_of_its_time_and_not_after(
    tmp_path: Path,
) -> None:
    """Sessions live 1,800 s here; the clock is held."""
    clock = FakeClock()
    clock.epoch = 1_800_000_000.0
    agent = agent_over(model := Counting(), tmp_path, clock=clock)
    await say(agent, "first")
    clock.epoch += 1799.999
    assert (await shown_of(agent, model, "second"))[0] == "first", "and it lives on from here"
    clock.epoch += 1799.999
    assert len(await shown_of(agent, model, "third")) == 5
    clock.epoch += 1800.0
    assert await shown_of(agent, model, "fourth") == ["fourth"]
    memory = await memory_of(agent)
    assert (len(memory.messages), memory.tokens) == (2, TOKENS), "nothing of the old one is left"
    await agent.close()


async def test_a_turn_that_outlasts_its_session_forgets_nothing(tmp_path: Path) -> None:
    clock = FakeClock()

    class Slow(Counting):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
            clock.epoch += 1000
            async for chunk in super().stream(request):
                yield chunk
            clock.epoch += 1000

    agent = agent_over(Slow(), tmp_path, clock=clock)
    await say(agent, "first")
    await say(agent, "second")
    memory = await memory_of(agent)
    assert (len(memory.messages), memory.tokens) == (4, 2 * TOKENS)
    await agent.close()
