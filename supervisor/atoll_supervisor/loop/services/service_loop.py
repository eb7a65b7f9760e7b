"""All services of one daemon: owns their records, tells engines what to do, hears what they see.

Everything happens on one asyncio loop. A service is on the disk before an
engine hears of it and before a client does, so that a daemon that is killed
finds each again (seeds-contract.md MX3).
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from atoll.errors import AtollError, ClientError
from atoll_supervisor.core.services.evidence import Ended, Evidence, Tick
from atoll_supervisor.core.services.machine import begun_again, cancelled, step
from atoll_supervisor.core.services.order import Wish, order_of
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
from atoll_supervisor.core.services.summary import Ending, Listed, ModelList
from atoll_supervisor.loop.services.around import Around, StillEnds
from atoll_supervisor.loop.services.asking import Asking
from atoll_supervisor.loop.services.finding import find, is_group, logs_of, put_back
from atoll_supervisor.loop.services.making import made, new_group, new_uuid
from atoll_supervisor.ports import ServiceEngine
from atoll_supervisor.shell.database import REFUSALS, NotKept

TICK = 1.0
"""Seconds between two looks at the clock."""
MOST = 1000
"""Services that are remembered at once; then the oldest that are over are forgotten."""
STILL_ENDS = "its process is still on its way out"


class ServiceLoop:
    """The `ports.Services` of the API."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._engines: Mapping[EngineName, ServiceEngine] = {}
        self._records: dict[str, Record] = {}
        self._dirty: set[str] = set()
        self._asking = Asking()
        self._stops: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(self, engines: Mapping[EngineName, ServiceEngine]) -> None:
        """Take over what earlier daemons began; before anything is served or looked at."""
        self._engines = engines
        for record in self._around.store.load():
            known = record if record.is_final else engines[record.engine].adopt(record)
            self._records[record.id] = known

    async def run(self) -> None:
        """Watch, and keep what changes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for engine in self._engines.values():
                group.create_task(engine.run())
            while True:
                for record in list(self._records.values()):
                    if not record.is_final:
                        self.saw(record.id, Tick())
                await self._flush()
                await asyncio.sleep(TICK)

    def hush(self) -> None:
        """The daemon goes down: what its units do from now on says nothing of the services."""
        self._closed = True

    async def close(self) -> None:
        """Keep the last changes and let go of everything."""
        self._closed = True
        await self._flush()
        await self._asking.close()

    def saw(self, service: str, evidence: Evidence, uuid: str = "") -> None:
        """Take in what an engine saw, unless of a start (`uuid`) before the present one."""
        record = self._records.get(service)
        if record is None or self._closed or uuid not in ("", record.uuid):
            return
        after, stop = step(record, evidence, self._around.epoch())
        if after == record:
            return
        self._records[service] = after
        self._dirty.add(service)
        if after.status != record.status:
            reason = f": {after.reason}" if after.reason else ""
            self._around.note(f"{record.status} -> {after.status}{reason}", record.name)
        if stop or (after.is_final and record.engine == "local"):
            self._stop(after)

    def placed(self, service: str, job: Job, uuid: str) -> None:
        """Take in which job this start of a service is."""
        record = self._records.get(service)
        if record is not None and record.uuid == uuid:
            self._records[service] = replace(record, job=job)
            self._dirty.add(service)

    def all(self) -> tuple[Record, ...]:
        """Every service, over or not."""
        return tuple(self._records.values())

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
            for record in self._records.values()
            if not api or record.order.api == api
        )

    def groups(self) -> tuple[ServiceGroup, ...]:
        """Every group, oldest first."""
        names = dict.fromkeys(one.group_id for one in self._records.values() if one.group_id)
        return tuple(group_of(self._shown_of(name)) for name in names)

    def row(self, name: str) -> Service:
        """A service or a group."""
        records = self._shown_of(name)
        return group_of(records) if is_group(name) else row_of(records[0])

    async def create(self, wish: Wish) -> Service:
        """Start what is wished for."""
        recipe = await self.recipe(wish.recipe_name)
        if not 1 <= wish.replicas <= recipe.max_replicas:
            raise ClientError(f"replicas: expected 1 to {recipe.max_replicas}")
        await self._make_room(wish.replicas)
        order = await asyncio.to_thread(order_of, recipe, wish, self._around.find)
        engine = wish.engine or recipe.engine or self._around.usual_engine
        group, now = new_group() if wish.replicas > 1 else None, self._around.epoch()
        records = [made(wish, recipe, order, engine, group, now) for _ in range(wish.replicas)]
        await self._keep(*records)
        for record in records:
            self._records[record.id] = record
        placed = await self._submit(records)
        accepted = tuple(replace(one, status="pending", reason="", state="") for one in placed)
        # As the page has it; where it has come to since, its status tells.
        return group_of(accepted) if group else row_of(accepted[0])

    async def cancel(self, name: str, *, purge: bool, wait: bool = True) -> Ending:
        """End a service or a group; what is over already stays as it is."""
        records = self._of(name)
        await self._cancel(records)
        gone = await self._gone(records) if wait or purge else False
        if purge:
            await self._purge(records)
        return Ending(job_id=name if is_group(name) else records[0].job_id, gone=gone)

    async def restart(self, name: str) -> Service:
        """End it if it is not over, and start it again: its id, order, key and data stay."""
        records = self._of(name)
        await self._cancel(records)
        for record in records:
            if record.is_final:  # its end may not have reached its engine yet
                await self._engines[record.engine].cancel(record)
        if not await self._gone(records):
            raise StillEnds(f"{name}: {STILL_ENDS}; ask again in a moment")
        await self._begin_again(tuple(one for one in records if self._is_as_was(one)))
        return self.row(name)

    def key(self, name: str) -> str:
        """The API key of a service."""
        return self._of(name)[0].key

    def logs(self, name: str) -> tuple[tuple[str, Path], ...]:
        """The files of a service, or of every replica."""
        return logs_of(self._of(name), self._engines)

    async def prompt(self, name: str, prompt: Prompt) -> Answered | NotAnswered:
        """Ask one that runs, the replicas of a group in turn."""
        return await self._asking.prompt(name, self._of(name), prompt)

    async def models(self, name: str) -> ModelList | NotAnswered:
        """The models of one that runs."""
        return await self._asking.models(name, self._of(name))

    async def metrics(self, name: str) -> str:
        """Our gauges, then what the server says of itself; of a group, our gauges of each."""
        return await self._asking.metrics(self._of(name))

    # inside

    def _shown(self, record: Record) -> Record:
        """As people see it: one that is over may still have a process."""
        if not self._engines[record.engine].still_ends(record):
            return record
        return replace(record, reason="; ".join(filter(None, (record.reason, STILL_ENDS))))

    def _shown_of(self, name: str) -> tuple[Record, ...]:
        return tuple(map(self._shown, self._of(name)))

    async def _cancel(self, records: tuple[Record, ...]) -> None:
        """All of them are over before any of them is ended.

        A disk that refuses keeps nobody from ending one, but from being told that it is done.
        """
        now = self._around.epoch()
        refusal: NotKept | None = None
        try:
            await self._keep(*(cancelled(record, now) for record in records))
        except NotKept as error:
            refusal = NotKept(f"{error}; it is ended, and that is kept once the disk takes it")
        alive = [one for one in self._as_now(records) if not one.is_final]
        for record in alive:
            self._records[record.id] = cancelled(record, now)
            self._dirty.add(record.id)
        for record in alive:
            await self._engines[record.engine].cancel(record)
        if refusal is not None:
            raise refusal

    async def _gone(self, records: tuple[Record, ...]) -> bool:
        """Whether nothing of any of them runs, within the longest of their stop limits."""
        return all(await asyncio.gather(*(self._engines[one.engine].gone(one) for one in records)))

    def _as_now(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """These as they have become meanwhile, but for those that are forgotten."""
        return tuple(self._records[one.id] for one in records if one.id in self._records)

    def _is_as_was(self, record: Record) -> bool:
        """Whether nobody else has forgotten it meanwhile, or started it again."""
        now = self._records.get(record.id)
        return now is not None and now.uuid == record.uuid

    async def _begin_again(self, records: tuple[Record, ...]) -> None:
        before = {record.id: self._records[record.id] for record in records}
        anew = [begun_again(record, new_uuid()) for record in before.values()]
        self._records |= {record.id: record for record in anew}
        try:
            await self._keep(*anew)
        except NotKept:
            self._records |= {name: before[name] for name in before if name in self._records}
            raise
        for place, record in enumerate(anew):
            self._around.note(f"started again; before: {record.last_end}", record.name)
            try:
                await self._place(record)
            except AtollError as error:
                for other in anew[place:]:  # none is left to wait for a start that nobody makes
                    self.saw(other.id, Ended("failed", str(error)), other.uuid)
                raise

    async def _make_room(self, wanted: int) -> None:
        """Forget the oldest that are over, when too many are remembered."""
        excess = len(self._records) + wanted - MOST
        over = [record for record in self._records.values() if record.is_final]
        if excess > len(over):
            raise ClientError(f"{MOST} services are at work: stop some")
        if excess > 0:
            await self._purge(tuple(over[:excess]))

    async def _submit(self, records: list[Record]) -> list[Record]:
        """All of them or none: a job that is refused takes the others of its group back."""
        try:
            return [await self._place(record) for record in records]
        except AtollError:
            for record in records:
                await self._take_back(self._records.get(record.id, record))
            raise

    async def _place(self, record: Record) -> Record:
        """Have its engine begin it; what somebody ended meanwhile is ended where it is now."""
        if not self._is_as_was(record) or self._records[record.id].is_final:
            return self._records.get(record.id, record)
        placed = await self._engines[record.engine].submit(record)
        now = self._records.get(record.id)
        if now is None or now.is_final:
            await self._end(placed)
        if now is None:
            return placed
        host, port = now.host or placed.host, now.port or placed.port
        known = self._records[record.id] = replace(now, job=placed.job, host=host, port=port)
        await self._keep(known)
        return known

    async def _take_back(self, record: Record) -> None:
        """What cannot be ended now stays as cancelled, for its engine to end later."""
        try:
            await self._engines[record.engine].cancel(record)
            await self._purge((record,))
        except AtollError:
            self._records[record.id] = cancelled(record, self._around.epoch())
            self._dirty.add(record.id)

    async def _purge(self, records: tuple[Record, ...]) -> None:
        """Forget these, but for those that somebody has started again meanwhile."""
        for record in filter(self._is_as_was, records):
            order = tuple(self._records)
            now = self._records.pop(record.id)  # from here on nobody can start it again
            try:
                await self._engines[record.engine].forget(now)
                await self._written(self._around.store.remove(record.id))
            except AtollError:
                self._records = put_back(self._records, now, order)
                raise
            self._dirty.discard(record.id)

    def _of(self, name: str) -> tuple[Record, ...]:
        return find(self._records, name)

    def _stop(self, record: Record) -> None:
        task = asyncio.get_running_loop().create_task(self._end(record))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def _end(self, record: Record) -> None:
        with suppress(AtollError):  # the engine tries again at its next look
            await self._engines[record.engine].cancel(record)

    async def _keep(self, *records: Record) -> None:
        await self._written(self._around.store.save(*records))

    async def _written(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except REFUSALS as error:
            raise NotKept(f"the disk refuses to remember services: {error}") from None

    async def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        try:
            if records := [self._records[one] for one in dirty if one in self._records]:
                await self._around.store.save(*records)
        except REFUSALS:
            self._dirty |= dirty  # `degraded` tells; the next tick tries again
