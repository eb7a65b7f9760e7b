"""Recorded work: every run of the daemon, taken up again where a daemon before left it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from atoll.errors import ClientError, NotFound
from atoll_supervisor.core.runs.events import Outcome, Told
from atoll_supervisor.core.runs.machine import accepted
from atoll_supervisor.core.runs.records import (
    Batch,
    BatchOrder,
    IdempotencyKey,
    Order,
    Page,
    Plan,
    Run,
    Wanted,
)
from atoll_supervisor.core.runs.roles import Role, role_of
from atoll_supervisor.gateway.naming import slug_in
from atoll_supervisor.loop.lanes import Lane
from atoll_supervisor.loop.run_asks import Asker
from atoll_supervisor.loop.run_hooks import Hooks
from atoll_supervisor.loop.run_room import Room
from atoll_supervisor.loop.run_work import RETRY, Work
from atoll_supervisor.ports import Fleet
from atoll_supervisor.shell.database import NotKept
from atoll_supervisor.shell.run_store import RunStore
from atoll_supervisor.shell.webhook import Messenger

AT_ONCE = 256
"""Runs that are under way at once."""
PULSE = 15.0
"""Seconds after which a follower hears that nothing has happened."""
PRUNE_EVERY = 300.0
DAY = 86_400.0


class KeyReused(ClientError):
    """An Idempotency-Key came again with another request."""

    code = "idempotency_key_reused"
    status = 422


class StillRuns(ClientError):
    """What is under way cannot be deleted."""

    code = "still_runs"
    status = 409


class Retention(Struct, frozen=True):
    """How long runs that have ended are kept, and how many of them."""

    days: float
    most: int


class Runs:
    """Every run of the daemon; a `ports.Runs`. `epoch` is wall-clock seconds."""

    def __init__(
        self,
        store: RunStore,
        fleet: Fleet,
        token: str,
        retention: Retention,
        messenger: Messenger,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._epoch = epoch
        self._retention = retention
        self._asker = Asker(fleet, token, epoch)
        self._hooks = Hooks(store, messenger)
        self._live: dict[str, Work] = {}
        self._room = Room()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lane = Lane(AT_ONCE, Work.begin)
        self._batches: dict[str, Lane] = {}
        self._taken_up = asyncio.Event()

    async def main(self) -> None:
        """Take up what a daemon before has left, then forget what is old, until cancelled."""
        await self._take_up()
        while True:
            await self._prune()
            await asyncio.sleep(PRUNE_EVERY)

    def leave(self) -> None:
        """Ask nobody any more: the fleet is about to be stopped."""
        self._asker.leave()

    async def close(self) -> None:
        """Leave everything where it is kept: the next daemon takes it up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._hooks.close()
        self._asker.close()

    # ports.Runs

    async def start(self, order: Order, key: IdempotencyKey | None) -> Run:
        """Accept a run, or find the one that the key names; raises Busy, KeyReused, NotKept."""
        plan = Plan(**asdict(order), run_id=str(uuid.uuid4()), accepted=self._epoch())
        target = await self._accept([plan], key, None)
        return await self.run(target)

    async def start_batch(
        self, orders: Sequence[Order], more: BatchOrder, key: IdempotencyKey | None
    ) -> str:
        """Accept many runs at once; the batch's id. Raises as `start`."""
        now = self._epoch()
        batch = Batch(**asdict(more), batch_id=str(uuid.uuid4()), accepted=now, items=len(orders))
        plans = [
            Plan(
                **asdict(order),
                run_id=str(uuid.uuid4()),
                accepted=now,
                batch=batch.batch_id,
                item=item,
                workers=batch.workers,
            )
            for item, order in enumerate(orders)
        ]
        return await self._accept(plans, key, batch)

    async def ended(self, run_id: str, leaving: asyncio.Event) -> Run:
        """The run when it has ended, or as it is when the daemon leaves; raises NotFound."""
        work = await self._work(run_id)
        if work is None:
            return await self.run(run_id)
        await work.ended(leaving)
        return work.run

    async def run(self, run_id: str) -> Run:
        """The run as it is kept; raises NotFound."""
        if (work := await self._work(run_id)) is not None:
            return work.run
        if (run := await self._store.load(run_id)) is None:
            raise NotFound("Run not found")
        return run

    async def page(self, wanted: Wanted) -> Page:
        """A list of runs, newest first."""
        return await self._store.page(wanted)

    async def batch(self, batch_id: str) -> tuple[Batch, list[Run]]:
        """A batch and its runs; raises NotFound."""
        found = await self._store.batch(batch_id)
        if found is None:
            raise NotFound("Batch not found")
        return found

    async def cancel(self, run_id: str, leaving: asyncio.Event) -> Run:
        """The run when it has ended, by this or before; raises NotFound."""
        work = await self._work(run_id)
        if work is None:
            return await self.run(run_id)
        work.cancel()
        await work.ended(leaving)
        return work.run

    async def delete(self, run_id: str) -> None:
        """Forget a run that has ended; raises StillRuns, NotFound."""
        run = await self.run(run_id)
        if not run.is_final:
            raise StillRuns("the run has not ended; cancel it first")
        await self._store.delete(run_id)

    async def follow(
        self, run_id: str, after: int, leaving: asyncio.Event
    ) -> AsyncIterator[list[Told]]:
        """The run's events after an id, to its end; nothing for a while comes as an empty list."""
        work = await self._work(run_id)
        if work is None:
            yield await self._store.events(run_id, after)
            return
        async for told in work.follow(after, leaving, PULSE):
            yield told

    # inside

    def find(self, name: str) -> Role | None:
        """The role of an agent by any spelling of its name; raises SignatureError."""
        slug = slug_in(name)
        try:
            return role_of(self._fleet.row(slug)) if slug else None
        except NotFound:
            return None

    async def _take_up(self) -> None:
        taken: set[str] = set()  # one that has ended since it was read must not begin again
        while True:
            try:
                for run in await self._store.unfinished(self._epoch()):
                    if run.plan.run_id not in taken:
                        told = await self._store.events(run.plan.run_id, 0)
                        taken.add(run.plan.run_id)
                        self._room.keep(run.plan)
                        self._enter(Outcome(run, tuple(told)))
                await self._hooks.take_up()
            except NotKept:
                await asyncio.sleep(RETRY)
            else:
                self._taken_up.set()
                return

    async def _accept(
        self, plans: Sequence[Plan], key: IdempotencyKey | None, batch: Batch | None
    ) -> str:
        """The id of the run or the batch that is there now, by this request or by one before."""
        await self._taken_up.wait()
        self._hooks.judge({plan.webhook for plan in plans})
        self._room.take(plans)
        outcomes = [accepted(plan) for plan in plans]
        try:
            known = await self._store.accept(outcomes, key, batch)
        except BaseException:
            self._room.leave(*plans)
            raise
        if known is None:
            for outcome in outcomes:
                self._enter(outcome)
            return batch.batch_id if batch is not None else plans[0].run_id
        self._room.leave(*plans)
        if not known.is_same:
            raise KeyReused("this Idempotency-Key came before with another request")
        return known.target

    async def _work(self, run_id: str) -> Work | None:
        """The run, if it is under way: what a daemon before has left is taken up first."""
        await self._taken_up.wait()
        return self._live.get(run_id)

    def _enter(self, outcome: Outcome) -> None:
        plan = outcome.run.plan
        work = Work(outcome, self._store, self._asker, self.find, self._epoch)
        self._live[plan.run_id] = work
        self._spawn(self._worked(work))
        if plan.batch:
            new = Lane(max(1, plan.workers), self._lane.enter)
            self._batches.setdefault(plan.batch, new).enter(work)
        else:
            self._lane.enter(work)

    async def _worked(self, work: Work) -> None:
        plan = work.run.plan
        try:
            await work.go()
            self._hooks.tell(work.run)
        finally:
            self._live.pop(plan.run_id, None)
            self._room.leave(plan)
            self._lane.leave(work)
            if lane := self._batches.get(plan.batch):
                lane.leave(work)
                if lane.is_empty:
                    del self._batches[plan.batch]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prune(self) -> None:
        kept = self._retention
        try:
            more = True
            while more:
                more = await self._store.prune(self._epoch() - kept.days * DAY, kept.most)
        except NotKept:
            return
