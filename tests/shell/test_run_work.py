"""A run under way: nothing is told before it is kept, and no fault leaves it open."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from atoll_supervisor.core.runs.events import Answered, Ask, AskFailed, Interrupted, Told
from atoll_supervisor.core.runs.machine import accepted, open_question, step
from atoll_supervisor.core.runs.records import Run
from atoll_supervisor.core.runs.roles import Find
from atoll_supervisor.core.runs.view import body_of, status_of
from atoll_supervisor.loop import run_work
from atoll_supervisor.loop.lanes import Lane
from atoll_supervisor.loop.run_work import Work
from atoll_supervisor.shell.database import NotKept
from tests.fakes.roles import finding, plan, role

pytestmark = pytest.mark.anyio

FIND = finding(role("a", hand_off="b"), role("b", "result: str", "text: str"))
Answer = Callable[[Ask], Awaitable[Answered | AskFailed | Interrupted]]


class Paper:
    """Keeps what it is given; refuses as often as it is told."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.kept: list[Run] = []
        self.told: list[Told] = []

    async def save(self, run: Run, told: Sequence[Told], all_told: Sequence[Told]) -> None:
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise NotKept("the disk is full")
        self.kept.append(run)
        self.told += told


class Asked:
    """Answers each question as it is told to."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asks: list[Ask] = []
        self.stopped = 0

    async def ask(self, ask: Ask) -> Answered | AskFailed | Interrupted:
        self.asks.append(ask)
        try:
            return await self.answer(ask)
        except asyncio.CancelledError:
            self.stopped += 1
            raise


async def good(ask: Ask) -> Answered:
    return Answered(ask.key, '{"result": "x"}' if ask.agent == "a" else '{"text": "y"}', 2.0)


async def never(ask: Ask) -> Answered:
    await asyncio.Event().wait()
    return await good(ask)


def working(paper: Paper, asker: Asked, find: Find = FIND, **more: object) -> Work:
    return Work(accepted(plan(kind="flock", **more)), paper, asker, find, lambda: 2.0)


async def finished(work: Work) -> Work:
    async with asyncio.timeout(10):
        await work.go()
    return work


async def test_each_change_is_kept_and_the_run_ends() -> None:
    paper, asker = Paper(), Asked(good)
    work = working(paper, asker)
    work.begin()
    await finished(work)
    assert body_of(work.run).result == {"text": "y"}
    assert [status_of(run.phase) for run in paper.kept] == ["running", "running", "completed"]
    assert paper.told == work.told[1:]
    assert [ask.agent for ask in asker.asks] == ["a", "b"]


async def test_nothing_is_shown_or_asked_before_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_work, "RETRY", 0.01)
    paper, asker = Paper(refusals=10_000), Asked(good)
    work = working(paper, asker)
    work.begin()
    going = asyncio.create_task(work.go())
    async with asyncio.timeout(10):
        while paper.refusals > 9_998:
            await asyncio.sleep(0.01)
    assert (body_of(work.run).status, asker.asks) == ("starting", [])
    paper.refusals = 0
    async with asyncio.timeout(10):
        await going
    assert body_of(work.run).status == "completed"


async def test_a_cancel_stops_the_question_at_once() -> None:
    paper, asker = Paper(), Asked(never)
    work = working(paper, asker)
    work.begin()
    going = asyncio.create_task(work.go())
    async with asyncio.timeout(10):
        while not asker.asks:
            await asyncio.sleep(0)
        work.cancel()
        await going
        while not asker.stopped:
            await asyncio.sleep(0)
    assert body_of(work.run).status == "cancelled"


async def test_a_run_that_still_waits_for_its_turn_is_cancelled_at_once() -> None:
    work = working(Paper(), Asked(good))
    work.cancel()
    work.begin()
    await finished(work)
    assert body_of(work.run).status == "cancelled"


async def test_a_run_that_was_left_open_is_asked_again_from_where_it_was() -> None:
    paper, asker = Paper(), Asked(good)
    begun = working(paper, Asked(never))
    begun.begin()
    going = asyncio.create_task(begun.go())
    async with asyncio.timeout(10):
        while not paper.kept:
            await asyncio.sleep(0)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    outcome = msgspec.structs.replace(accepted(plan()), run=paper.kept[-1], told=tuple(begun.told))
    again = Work(outcome, paper, asker, FIND, lambda: 3.0)
    again.begin()
    await finished(again)
    assert asker.asks[0].key.tries == 1
    assert [one.type for one in again.told].count("interrupted") == 1
    assert body_of(again.run).status == "completed"


async def test_a_fault_of_ours_fails_the_run_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(ask: Ask) -> Answered:
        raise RuntimeError("boom")

    work = working(Paper(), Asked(broken))
    work.begin()
    told = body_of((await finished(work)).run)
    assert (told.status, told.reason) == ("failed", "internal")
    assert "boom" not in (told.error or "")
    assert "boom" in caplog.text


async def test_what_cannot_be_written_down_fails_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Not the disk, which is waited for: a value that has no JSON."""

    class Particular(Paper):
        async def save(self, run: Run, told: Sequence[Told], all_told: Sequence[Told]) -> None:
            if run.steps:
                raise RecursionError("boom")
            await super().save(run, told, all_told)

    work = working(Particular(), Asked(good))
    work.begin()
    told = body_of((await finished(work)).run)
    assert (told.status, told.reason, told.path) == ("failed", "internal", ())
    assert "boom" in caplog.text
    assert [one.id for one in work.told] == list(range(1, len(work.told) + 1))


async def test_followers_get_every_event_once_and_the_end() -> None:
    paper, leaving = Paper(), asyncio.Event()
    work = working(paper, Asked(good))
    got: list[list[int]] = [[], []]

    async def follow(number: int, after: int) -> None:
        async for page in work.follow(after, leaving, 5):
            got[number] += [one.id for one in page]

    followers = [asyncio.create_task(follow(0, 0)), asyncio.create_task(follow(1, 3))]
    await asyncio.sleep(0)
    work.begin()
    await finished(work)
    async with asyncio.timeout(10):
        await asyncio.gather(*followers)
    assert got == [[one.id for one in work.told], [one.id for one in work.told if one.id > 3]]


async def test_followers_leave_with_the_daemon() -> None:
    work, leaving = working(Paper(), Asked(never)), asyncio.Event()
    waiting = asyncio.create_task(work.ended(leaving))
    leaving.set()
    async with asyncio.timeout(10):
        await waiting
        assert [page async for page in work.follow(0, leaving, 5)] == [work.told]


def test_a_lane_starts_no_more_than_its_limit_and_in_order() -> None:
    started: list[Work] = []
    lane = Lane(2, started.append)
    works = [working(Paper(), Asked(good)) for _ in range(5)]
    for work in works:
        lane.enter(work)
    assert started == works[:2]
    lane.leave(works[3])  # it was cancelled while it waited
    assert started == works[:2]
    lane.leave(works[0])
    lane.leave(works[1])
    assert started == [works[0], works[1], works[2], works[4]]
    for work in (works[2], works[4], works[4]):
        lane.leave(work)
    assert lane.is_empty


async def test_an_answer_for_a_question_of_before_is_not_taken() -> None:
    """What the machine ignores is not kept either."""
    paper, asker = Paper(), Asked(never)
    work = working(paper, asker)
    work.begin()
    going = asyncio.create_task(work.go())
    async with asyncio.timeout(10):
        while not asker.asks:
            await asyncio.sleep(0)
        key = open_question(work.run)
        assert key is not None
        late = Answered(msgspec.structs.replace(key, tries=7), '{"result": "late"}', 2.0)
        assert step(work.run, late, FIND).told == ()
        work._inbox.put_nowait(late)
        work.cancel()
        await going
    assert len(paper.kept) == 2
