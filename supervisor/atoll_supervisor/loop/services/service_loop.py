"""All services of one daemon: owns their records, tells engines what to do, hears what they see.

Everything happens on one asyncio loop. A service is on the disk before an
engine hears of it and before a client does, so that a daemon that is killed
finds each again (seeds-contract.md MX3).
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from atoll.errors import AtollError, ClientError, NotFound
from atoll_supervisor.core.services.evidence import Evidence, Tick
from atoll_supervisor.core.services.machine import cancelled, step
from atoll_supervisor.core.services.order import Wish
from atoll_supervisor.core.services.prompt import Answered, NotAnswered, Prompt
from atoll_supervisor.core.services.recipe import EngineName, Recipe
from atoll_supervisor.core.services.record import (
    Job,
    Record,
    Service,
    ServiceGroup,
    ServiceRow,
    group_of,
    row_of,
)
from atoll_supervisor.core.services.replicas import orders_of, total_of
from atoll_supervisor.core.services.summary import Ending, Listed, ModelList
from atoll_supervisor.loop.services.around import STILL_ENDS, Around, StillEnds
from atoll_supervisor.loop.services.asking import Asking
from atoll_supervisor.loop.services.finding import is_group, logs_of
from atoll_supervisor.loop.services.making import made, new_group
from atoll_supervisor.loop.services.records import Records
from atoll_supervisor.loop.services.starts import Starts
from atoll_supervisor.ports import ServiceEngine
from atoll_supervisor.shell.database import NotKept

TICK = 1.0
"""Seconds between two looks at the clock."""
MOST = 1000
"""Services that are remembered at once; then the oldest that are over are forgotten."""


class ServiceLoop:
    """The `ports.Services` of the API."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._engines: Mapping[EngineName, ServiceEngine] = {}
        self._records = Records(around.store)
        self._starts = Starts(around, self._records, self.saw)
        self._asking = Asking()
        self._stops: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(self, engines: Mapping[EngineName, ServiceEngine]) -> None:
        """Take over what earlier daemons began; before anything is served or looked at."""
        self._engines = engines
        self._starts.begin(engines)
        for record in self._around.store.load():
            self._records.know(record if record.is_final else engines[record.engine].adopt(record))

    async def run(self) -> None:
        """Watch, and keep what changes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for engine in self._engines.values():
                group.create_task(engine.run())
            while True:
                for record in self._records:
                    if not record.is_final:
                        self.saw(record.id, Tick())
                await self._records.flush()
                await asyncio.sleep(TICK)

    def hush(self) -> None:
        """The daemon goes down: what its units do from now on says nothing of the services."""
        self._closed = True

    async def close(self) -> None:
        """Keep the last changes and let go of everything."""
        self._closed = True
        await self._records.flush()
        await self._asking.close()

    def saw(self, service: str, evidence: Evidence, uuid: str = "") -> None:
        """Take in what an engine saw, unless of a start (`uuid`) before the present one."""
        record = self._records.get(service)
        if record is None or self._closed or uuid not in ("", record.uuid):
            return
        after, stop = step(record, evidence, self._around.epoch())
        if after == record:
            return
        if after.is_final and self._starts.is_replacing(service):
            self._starts.put_off(service, evidence, uuid)
            return
        self._records.change(after)
        if after.status != record.status:
            reason = f": {after.reason}" if after.reason else ""
            self._around.note(f"{record.status} -> {after.status}{reason}", record.name)
        if stop or (after.is_final and record.engine == "local"):
            self._stop(after)

    def placed(self, service: str, job: Job, uuid: str) -> None:
        """Take in which job this start of a service is."""
        record = self._records.get(service)
        if record is not None and record.uuid == uuid:
            self._records.change(replace(record, job=job))

    def all(self) -> tuple[Record, ...]:
        """Every service, over or not."""
        return tuple(self._records)

    # ports.Services

    @property
    def degraded(self) -> str:
        """Why services cannot be kept, or ""."""
        return self._around.store.degraded

    async def recipes(self) -> tuple[Listed, ...]:
        """Every recipe."""
        return await asyncio.to_thread(self._around.recipes.list)

    async def recipe(self, path: str) -> Recipe:
        """One recipe; raises NotFound, ConfigError."""
        return await asyncio.to_thread(self._around.recipes.load, path)

    def rows(self, api: str = "") -> tuple[ServiceRow, ...]:
        """Every service, oldest first."""
        return tuple(
            row_of(self._shown(record))
            for record in self._records
            if not api or record.order.api == api
        )

    def groups(self) -> tuple[ServiceGroup, ...]:
        """Every group, oldest first."""
        names = dict.fromkeys(one.group_id for one in self._records if one.group_id)
        return tuple(group_of(self._shown_of(name)) for name in names)

    def row(self, name: str) -> Service:
        """A service or a group."""
        records = self._shown_of(name)
        return group_of(records) if is_group(name) else row_of(records[0])

    def is_over(self, name: str) -> bool:
        """Whether nothing of it will ever run or write again, unless it is started anew."""
        try:
            records = self._records.of(name)
        except NotFound:
            return True
        return all(one.is_final and not self._may_write(one) for one in records)

    async def create(self, wish: Wish) -> Service:
        """Start what is wished for."""
        recipe = await self.recipe(wish.recipe_name)
        orders = await asyncio.to_thread(orders_of, recipe, wish, self._around.find)
        engine = wish.engine or recipe.engine or self._around.usual_engine
        warned = await self._engines[engine].admit(total_of(orders))
        await self._make_room(len(orders))
        group, now = new_group() if len(orders) > 1 else None, self._around.epoch()
        records = [made(wish, recipe, order, engine, group, now) for order in orders]
        records = [replace(one, warnings=warned) for one in records]
        await self._records.keep(*records)
        with self._starts.beginning(records):
            self._records.know(*records)
            placed = await self._submit(records)
        accepted = tuple(replace(one, status="pending", reason="", state="") for one in placed)
        # As the page has it; where it has come to since, its status tells.
        return group_of(accepted) if group else row_of(accepted[0])

    async def cancel(self, name: str, *, purge: bool, wait: bool = True) -> Ending:
        """End a service or a group; what is over already stays as it is."""
        before = self._records.of(name)
        await self._cancel(before)
        # One that was started again until then has been ended as what it is now.
        records = tuple(one for one in self._records.as_now(before) if one.is_final)
        gone = await self._gone(records) if wait or purge else False
        if purge:
            await self._purge(records)
        job_id = name if is_group(name) else (records or before)[0].job_id
        return Ending(job_id=job_id, gone=gone)

    async def restart(self, name: str) -> Service:
        """Start it again, over or at work: its id, order, key and data stay."""
        records = self._records.of(name)
        with self._starts.beginning(records):
            await self._starts.in_place_of([one for one in records if not one.is_final])
            await self._after_end(tuple(one for one in records if one.is_final))
        return self.row(name)

    def key(self, name: str) -> str:
        """The API key of a service."""
        return self._records.of(name)[0].key

    def logs(self, name: str) -> tuple[tuple[str, Path], ...]:
        """The files of a service, or of every replica."""
        return logs_of(self._records.of(name), self._engines)

    async def prompt(self, name: str, prompt: Prompt) -> Answered | NotAnswered:
        """Ask one that runs, the replicas of a group in turn."""
        return await self._asking.prompt(name, self._records.of(name), prompt)

    async def models(self, name: str) -> ModelList | NotAnswered:
        """The models of one that runs."""
        return await self._asking.models(name, self._records.of(name))

    async def metrics(self, name: str) -> str:
        """Our gauges, then what the server says of itself; of a group, our gauges of each."""
        return await self._asking.metrics(self._records.of(name))

    # inside

    def _may_write(self, record: Record) -> bool:
        engine = self._engines[record.engine]
        return engine.still_ends(record) or engine.may_have_job(record.uuid)

    async def _after_end(self, over: tuple[Record, ...]) -> None:
        for record in over:  # its end may not have reached its engine yet
            await self._engines[record.engine].cancel(record)
        if not await self._gone(over):
            raise StillEnds(f"{over[0].name}: {STILL_ENDS}; ask again in a moment")
        await self._starts.after_end(tuple(filter(self._records.is_as_was, over)))

    def _shown(self, record: Record) -> Record:
        """As people see it: one that is over may still have a process."""
        if self._starts.is_replacing(record.id):
            more = "it is being started again"
        elif self._engines[record.engine].still_ends(record):
            more = STILL_ENDS
        else:
            return record
        return replace(record, reason="; ".join(filter(None, (record.reason, more))))

    def _shown_of(self, name: str) -> tuple[Record, ...]:
        return tuple(map(self._shown, self._records.of(name)))

    async def _cancel(self, records: tuple[Record, ...]) -> None:
        """All of them are over before any of them is ended.

        A disk that refuses keeps nobody from ending one, but from being told that it is done.
        """
        now = self._around.epoch()
        refusal: NotKept | None = None
        try:
            await self._records.keep(*(cancelled(record, now) for record in records))
        except NotKept as error:
            refusal = NotKept(f"{error}; it is ended, and that is kept once the disk takes it")
        before = self._records.as_now(records)
        alive = [one for one in before if not one.is_final]
        for record in alive:
            self._records.change(cancelled(record, now))
        unfinished = [one for one in before if self._engines[one.engine].still_ends(one)]
        for record in (*alive, *unfinished):
            await self._engines[record.engine].cancel(record)
        if refusal is not None:
            raise refusal

    async def _gone(self, records: tuple[Record, ...]) -> bool:
        """Whether nothing of any of them runs, within the longest of their stop limits."""
        return all(await asyncio.gather(*(self._engines[one.engine].gone(one) for one in records)))

    async def _make_room(self, wanted: int) -> None:
        """Forget the oldest that are over, when too many are remembered."""
        excess = len(self._records) + wanted - MOST
        over = [record for record in self._records if record.is_final]
        if excess > len(over):
            raise ClientError(f"{MOST} services are at work: stop some")
        if excess > 0:
            await self._purge(tuple(over[:excess]))

    async def _submit(self, records: list[Record]) -> list[Record]:
        """All of them or none: a job that is refused takes the others of its group back."""
        try:
            return [await self._starts.place(record) for record in records]
        except AtollError:
            for record in records:
                await self._take_back(self._records.get(record.id) or record)
            raise

    async def _take_back(self, record: Record) -> None:
        """What cannot be ended now stays as cancelled, for its engine to end later."""
        try:
            await self._engines[record.engine].cancel(record)
            await self._purge((record,))
        except AtollError:
            self._records.change(cancelled(record, self._around.epoch()))

    async def _purge(self, records: tuple[Record, ...]) -> None:
        """Forget these, but for those that somebody has started again meanwhile."""
        for record in filter(self._records.is_as_was, records):
            async with self._records.forgetting(record) as now:
                await self._engines[record.engine].forget(now)

    def _stop(self, record: Record) -> None:
        task = asyncio.get_running_loop().create_task(self._starts.end(record))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)
