"""Turns of one session, begun while others of it are under way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from atoll.config.manifest import Resources
from atoll.errors import Busy
from atoll.loop.agent import Agent
from atoll.loop.live_turn import LiveTurn
from atoll.loop.session_turn import Asked
from atoll.ports import Chunk, Done, ModelRequest, TextDelta
from atoll.wire.events import Emit, Failure, RunEnd
from tests.fakes.ports import USAGE, FakeModel
from tests.fakes.serving import MANIFEST, agent_over
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio


class Gated(FakeModel):
    """Says a word, and the next one when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[asyncio.Event] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        gate = asyncio.Event()
        self.gates.append(gate)
        yield TextDelta("one ")
        await gate.wait()
        yield TextDelta("two")
        yield Done("stop", USAGE)


@pytest.fixture
def model() -> Gated:
    return Gated()


@pytest.fixture
async def agent(model: Gated, tmp_path: Path) -> AsyncIterator[Agent]:
    resources = Resources(max_queue=2)
    agent = agent_over(
        model, tmp_path, manifest=msgspec.structs.replace(MANIFEST, resources=resources)
    )
    yield agent
    await agent.close()


@pytest.fixture
def say(agent: Agent) -> Callable[[str], LiveTurn]:
    return lambda message: agent.conversations.begin(Asked(message=message, session_id="s"))


async def remembered(agent: Agent) -> list[str]:
    return [message.content for message in await agent.sessions.load("s") or ()]


async def test_a_third_turn_waits_for_the_first_although_the_second_was_given_up(
    agent: Agent, model: Gated, say: Callable[[str], LiveTurn]
) -> None:
    """Else two turns would write one session, and the later would not know of the earlier."""
    first, second, third = say("a"), say("b"), say("c")
    await until(lambda: len(model.gates) == 1)
    second.cancel()
    await second.ended()
    await asyncio.sleep(0.05)
    assert len(model.gates) == 1, "the third has not begun"
    model.gates[0].set()
    await first.ended()
    await until(lambda: len(model.gates) == 2)
    model.gates[1].set()
    await third.ended()
    assert await remembered(agent) == ["a", "one two", "c", "one two"]


async def test_a_queue_that_never_gets_empty_is_no_longer_than_it_is(
    model: Gated, say: Callable[[str], LiveTurn]
) -> None:
    """Turns that are over do not count: only two may wait here, and ten come by turns."""
    turns = [say("0")]
    for number in range(1, 10):
        turns.append(say(str(number)))
        await until(lambda number=number: len(model.gates) == number)
        model.gates[-1].set()
        await turns[-2].ended()
    model_end = turns[-1]
    await until(lambda: len(model.gates) == 10)
    model.gates[-1].set()
    await model_end.ended()
    assert all(isinstance(turn.events[-1], RunEnd) for turn in turns)


async def test_more_turns_than_may_wait_are_refused(say: Callable[[str], LiveTurn]) -> None:
    for message in ("runs", "waits", "waits"):
        say(message)
    with pytest.raises(Busy, match="2 turns of session 's' wait already"):
        say("too many")


async def test_the_end_of_a_session_ends_all_its_turns_and_nobody_elses(
    agent: Agent, model: Gated, say: Callable[[str], LiveTurn]
) -> None:
    other = agent.conversations.begin(Asked(message="x", session_id="other"))
    turns = [say("a"), say("b")]
    await until(lambda: len(model.gates) == 2)
    assert await agent.conversations.end("s")
    assert [turn.is_over for turn in turns] == [True, True]
    assert all(isinstance(turn.events[-1], Failure) for turn in turns)
    assert not other.is_over
    assert not await agent.conversations.end("s")


async def test_turns_that_are_over_do_not_fill_the_memory(
    agent: Agent, model: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten before their minute is over; the newest is kept, however long."""
    monkeypatch.setattr("atoll.loop.conversations.KEPT_EVENTS", 12)
    for number in range(4):  # of 5 events each
        live = agent.conversations.begin(Asked(message="x", session_id=f"s{number}"))
        await until(lambda number=number: len(model.gates) == number + 1)
        model.gates[-1].set()
        await live.ended()
    assert len(live.events) == 5
    kept = [agent.conversations.latest(f"s{number}") is not None for number in range(4)]
    await until(lambda: agent.conversations.latest("s1") is None)
    assert kept == [False, False, True, True]


async def test_a_turn_that_has_told_its_end_tells_no_other() -> None:
    """Whoever cancels it while it still tidies up does not take back what was acknowledged."""

    async def tidies(emit: Emit) -> None:
        await emit(RunEnd("answer", "stop", USAGE, 1))
        await asyncio.Event().wait()

    turn = LiveTurn("s", "cancel", lambda: 0.0)
    turn.start(tidies, then=lambda _: None)
    await turn.wait(0)
    turn.cancel()
    await turn.ended()
    assert [type(event) for event in turn.events] == [RunEnd]
