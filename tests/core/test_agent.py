"""An agent over fake ports: its names, its queue, its health."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from atoll.adapters.session_store import SqliteSessions
from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Manifest, Resources
from atoll.errors import UpstreamRefused
from atoll.loop.agent import NOT_YET, Agent, Health, Identity, new_instance_id
from atoll.wire.events import Event, Failure, RunEnd, Token
from atoll.wire.messages import Message
from atoll.wire.turn import TurnRequest
from tests.fakes.collect import told_by
from tests.fakes.ports import FakeClock, FakeModel, FakeTools, text

pytestmark = pytest.mark.anyio

HELLO = TurnRequest(model="otto", messages=(Message(role="user", content="hello"),))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def agent(folder: Path, clock: FakeClock, model: FakeModel, resources: Resources) -> Agent:
    identity = Identity(
        manifest=Manifest(agent=AgentTable(name="Otto Prime"), resources=resources),
        checksum="0" * 64,
        backend="scripted",
        model_name="llama2",
        instance_id=new_instance_id(),
    )
    sessions = SqliteSessions(folder / "otto.db", 60.0, clock)
    return Agent(identity, model, FakeTools(), sessions, clock)


@pytest.mark.parametrize(
    "name", ["Otto Prime", "otto-prime", "OTTO PRIME:latest", "llama2", "LLAMA2:latest"]
)
def test_it_answers_to_its_own_name_and_to_its_models(
    tmp_path: Path, clock: FakeClock, name: str
) -> None:
    assert agent(tmp_path, clock, FakeModel(), Resources()).answers_to(name)


@pytest.mark.parametrize("name", ["", "otto", "otto-prime:7b", "llama3", "nope"])
def test_it_answers_to_no_other_name(tmp_path: Path, clock: FakeClock, name: str) -> None:
    assert not agent(tmp_path, clock, FakeModel(), Resources()).answers_to(name)


async def test_its_health_is_the_back_ends_looked_at_every_two_seconds(
    tmp_path: Path, clock: FakeClock
) -> None:
    model = FakeModel()
    otto = agent(tmp_path, clock, model, Resources())
    assert await otto.health() == Health(ok=True)
    model.down = UpstreamRefused("nobody there")
    assert (await otto.health()).ok, "the last look is not 2 s old"
    clock.ns += 2_000_000_001
    assert await otto.health() == Health(ok=False, reason="nobody there")


async def test_a_look_that_takes_long_is_told_and_shared(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atoll.loop.agent.LOOK_LIMIT", 0.01)
    model = FakeModel()
    model.gate = asyncio.Event()
    otto = agent(tmp_path, clock, model, Resources())
    first, second = await asyncio.gather(otto.health(), otto.health())
    assert first == second == Health(ok=False, reason=NOT_YET)
    assert model.pings == 1
    model.gate.set()
    await asyncio.sleep(0)
    assert (await otto.health()).ok


async def test_turns_over_the_limit_wait_and_turns_over_the_queue_are_told_so(
    tmp_path: Path, clock: FakeClock
) -> None:
    model = FakeModel(text("a"), text("b"))
    otto = agent(tmp_path, clock, model, Resources(max_concurrent_requests=1, max_queue=1))
    held = Held()
    running = asyncio.create_task(otto.turn(HELLO, held.emit))
    await held.told.wait()
    assert otto.in_flight == 1
    waiting = asyncio.create_task(told_by(partial(otto.turn, HELLO)))
    await asyncio.sleep(0)
    (refused,) = await told_by(partial(otto.turn, HELLO))
    assert isinstance(refused, Failure)
    assert refused.status == 503
    assert refused.message.startswith("server busy, please try again.  maximum")
    assert not waiting.done()
    assert otto.queued == 1
    held.on.set()
    await running
    assert isinstance(held.last, RunEnd)
    assert Token("b") in await waiting
    assert otto.in_flight == 0


class Held:
    """Takes the first event of a turn and lets it go on when `on` is set."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.on = asyncio.Event()
        self.last: Event | None = None

    async def emit(self, event: Event) -> None:
        self.last = event
        self.told.set()
        await self.on.wait()


@pytest.mark.parametrize("holder", [1, 0], ids=["while it runs", "while it waits"])
async def test_a_turn_that_is_cancelled_gives_its_place_back(
    tmp_path: Path, clock: FakeClock, holder: int
) -> None:
    model = FakeModel(text("a"), text("b"))
    otto = agent(tmp_path, clock, model, Resources(max_concurrent_requests=1))
    held = [Held(), Held()]
    turns = [asyncio.create_task(otto.turn(HELLO, one.emit)) for one in held]
    await held[0].told.wait()
    turns[1 - holder].cancel()
    held[0].on.set()
    held[1].on.set()
    await asyncio.wait(turns, timeout=10)
    assert [turn.cancelled() for turn in turns] == [holder == 1, holder == 0]
    assert isinstance(held[holder].last, RunEnd)
    assert (otto.in_flight, otto.queued) == (0, 0)


async def test_a_loaded_model_is_loaded_for_as_long_as_was_asked(
    tmp_path: Path, clock: FakeClock
) -> None:
    otto = agent(tmp_path, clock, FakeModel(), Resources())
    assert otto.loaded_until is None
    assert await otto.load(10) > 0
    assert otto.loaded_until == clock.epoch + 10
    otto.keep(-1)
    assert otto.loaded_until == float("inf")
    otto.unload()
    assert otto.loaded_until is None
