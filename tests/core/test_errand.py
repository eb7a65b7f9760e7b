"""The tools of one step: what they say comes out in order, and what is wrong with one ends all."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from atoll.config.manifest import Agent as AgentTable
from atoll.config.manifest import Budget, Manifest
from atoll.core.budget import Allowance
from atoll.core.hops import Hop
from atoll.core.papers import Journey
from atoll.core.trace import Trace
from atoll.errors import UpstreamLost
from atoll.loop.errand import MOST_WAITING, Errand
from atoll.ports import Outcome
from atoll.wire.events import Event, Warning
from atoll.wire.messages import Call, Usage
from tests.fakes.ports import FakeClock, FakeTools, errand
from tests.fakes.waiting import until

pytestmark = pytest.mark.anyio

MANIFEST = Manifest(agent=AgentTable(name="Otto"))
CALLS = (Call("1", "a", {}), Call("2", "b", {}))
Work = Callable[[Errand], Awaitable[Outcome]]


class Speaking(FakeTools):
    """Tools that do what the test says, with the errand that they are called in."""

    def __init__(self, **works: Work) -> None:
        super().__init__()
        self.works = works
        self.errand = errand(MANIFEST, FakeClock())
        self.cancelled: list[str] = []

    async def call(self, call: Call) -> Outcome:
        try:
            return await self.works[call.name](self.errand)
        except asyncio.CancelledError:
            self.cancelled.append(call.name)
            raise


async def run(tools: Speaking, emit: Callable[[Event], Awaitable[None]]) -> list[str]:
    return [made.text for made in await tools.errand.run(tools, CALLS, emit)]


async def test_what_a_tool_says_is_emitted_before_it_has_ended() -> None:
    heard, go_on = [], asyncio.Event()

    async def speak(given: Errand) -> Outcome:
        await given.say(Warning("one"))
        await go_on.wait()
        await given.say(Warning("two"))
        return Outcome("a")

    async def silent(_given: Errand) -> Outcome:
        return Outcome("b")

    async def emit(event: Event) -> None:
        heard.append(event)
        go_on.set()

    assert await run(Speaking(a=speak, b=silent), emit) == ["a", "b"]
    assert heard == [Warning("one"), Warning("two")]


async def test_a_tool_that_says_much_waits_for_a_client_that_reads_slowly() -> None:
    said, reads = 0, asyncio.Event()

    async def flood(given: Errand) -> Outcome:
        nonlocal said
        for _ in range(10 * MOST_WAITING):
            await given.say(Warning("x"))
            said += 1
        return Outcome("a")

    async def other(_given: Errand) -> Outcome:
        return Outcome("b")

    async def emit(_event: Event) -> None:
        await reads.wait()

    under_way = asyncio.create_task(run(Speaking(a=flood, b=other), emit))
    await until(lambda: said >= MOST_WAITING)
    for _ in range(50):
        await asyncio.sleep(0)
    assert said <= MOST_WAITING + 1
    reads.set()
    assert await under_way == ["a", "b"]
    assert said == 10 * MOST_WAITING


async def test_a_tool_that_raises_ends_the_others_and_is_heard() -> None:
    async def lost(_given: Errand) -> Outcome:
        raise UpstreamLost("gone")

    async def stuck(_given: Errand) -> Outcome:
        await asyncio.Event().wait()
        return Outcome("never")

    async def emit(_event: Event) -> None:
        raise AssertionError("nobody said anything")

    tools = Speaking(a=lost, b=stuck)
    with pytest.raises(UpstreamLost, match="gone"):
        await run(tools, emit)
    assert tools.cancelled == ["b"]


async def test_who_is_cancelled_while_it_emits_ends_its_tools() -> None:
    emitting = asyncio.Event()

    async def stuck(given: Errand) -> Outcome:
        await given.say(Warning("x"))
        await asyncio.Event().wait()
        return Outcome("never")

    async def emit(_event: Event) -> None:
        emitting.set()
        await asyncio.Event().wait()

    tools = Speaking(a=stuck, b=stuck)
    under_way = asyncio.create_task(run(tools, emit))
    await emitting.wait()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert sorted(tools.cancelled) == ["a", "b"]


async def test_calls_side_by_side_share_what_is_left_and_one_trace() -> None:
    came = Journey(
        hops=(Hop("root", "1" * 8), Hop("otto", "1" * 8)),
        trace=Trace("ab" * 16),
        allowance=Allowance(tokens=101, calls=9),
    )
    manifest = Manifest(agent=AgentTable(name="Otto"), budget=Budget(calls_per_turn=5))
    given = errand(manifest, FakeClock(), came)
    given.spend(Usage(prompt_tokens=1), 1)
    seen: list[Journey] = []

    class Looking(FakeTools):
        async def call(self, call: Call) -> Outcome:
            seen.append(given.journey)
            return Outcome("x")

    async def emit(_event: Event) -> None:
        raise AssertionError("nobody said anything")

    await given.run(Looking(), CALLS, emit)
    assert [one.allowance for one in seen] == [Allowance(tokens=50, calls=2)] * 2
    assert {(one.hops, one.trace) for one in seen} == {(came.hops, came.trace)}


def test_a_turn_that_nobody_delegated_begins_a_path_and_a_trace_of_its_own() -> None:
    first, second = errand(MANIFEST, FakeClock()), errand(MANIFEST, FakeClock())
    assert first.journey.hops == (Hop("otto", "00000000"),)
    assert first.journey.trace == first.journey.trace != second.journey.trace
